//! Subscriptions one by one: create, read, update and delete. Searches for them are searches (`search.rs`).

use std::sync::Arc;

use http::StatusCode;

use super::reply::{Reply, preferred};
use super::request::{Ask, Return, bad_parameter};
use super::table::Interaction;
use crate::Gateway;
use crate::change::fresh_id;
use crate::error::GatewayError;
use crate::subscriptions::{New, Shown};

/// Does what is asked with one Subscription.
pub(super) async fn serve(gateway: &Arc<Gateway>, ask: &Ask) -> Result<Reply, GatewayError> {
    ask.knows(&[])?;
    if ask.conditions.if_none_exist.is_some() {
        return Err(bad_parameter("If-None-Exist", "Subscriptions are not made on conditions"));
    }
    match ask.place.does {
        Interaction::Create | Interaction::Update => keep(gateway, ask).await,
        Interaction::Delete => {
            gateway.remove_subscription(ask.place.id()?, &ask.asking).await?;
            Ok(Reply::status(StatusCode::NO_CONTENT))
        }
        _ => Ok(reply(StatusCode::OK, gateway.subscription(ask.place.id()?, &ask.asking)?)),
    }
}

async fn keep(gateway: &Arc<Gateway>, ask: &Ask) -> Result<Reply, GatewayError> {
    let resource = super::write::received(ask, ask.place.kind()?).await?;
    let fresh = fresh_id()?;
    let id = match &ask.place.id {
        Some(id) if resource.id() != Some(id) => return Err(super::write::id_differs(ask.place.kind()?)),
        Some(id) => id,
        None => &fresh,
    };
    let if_match = ask.conditions.if_match.as_deref();
    let (shown, new) = gateway.keep_subscription(id, &resource, if_match, &ask.asking).await?;
    let location = format!("Subscription/{}", shown.id);
    let mut reply = reply(if new == New::Yes { StatusCode::CREATED } else { StatusCode::OK }, shown);
    reply.location = Some(location);
    Ok(preferred(reply, ask.prefer.returns.unwrap_or(Return::Representation)))
}

fn reply(status: StatusCode, shown: Shown) -> Reply {
    let mut reply = Reply::resource(status, shown.content);
    reply.version = Some(shown.version);
    reply.changed = Some(shown.changed);
    reply
}
