//! Measurements over MQTT 3.1.1: the gateway is a client of the hospital's own broker, and subscribes to the topics of
//! its enrolled devices. A publication is acknowledged to the broker once it is durable here; which device may publish
//! to which topic is the broker's to enforce, by its access list.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use rumqttc::{AckMode, AsyncClient, Broker, Event, MqttOptions, Packet, Publish, QoS, TlsConfiguration, Transport};
use sealwort_devices::{TOPIC_FILTER, device_of_topic};
use sealwort_net::observe;
use sealwort_net::{Backoff, Shutdown};
use tokio::sync::Semaphore;

use crate::Gateway;
use crate::config::MqttConfig;

/// Messages that wait between network and gateway.
const QUEUE: usize = 32;
/// How often a quiet connection shows that it lives, in seconds.
const KEEP_ALIVE_SECONDS: u16 = 30;
/// Largest packet, in bytes.
const PACKET_BYTES_MAX: usize = 4 * 1024 * 1024;
/// How long a publication that could not be made durable waits for the next try.
const RETRY: Duration = Duration::from_secs(2);

/// Why MQTT cannot be set up.
#[derive(Debug, thiserror::Error)]
pub enum MqttError {
    /// The URL.
    #[error("mqtt.url is not mqtt://host:port or mqtts://host:port")]
    Url,
    /// MQTT without TLS to another machine.
    #[error("mqtt.url leads to another machine without TLS; use mqtts://")]
    PlainOutside,
    /// Options that do not fit together.
    #[error("mqtt: {0}")]
    Options(String),
    /// A file.
    #[error("mqtt.{option}: {reason}")]
    File {
        /// Which option.
        option: &'static str,
        /// What is wrong.
        reason: String,
    },
}

/// Reads the configuration. `None` where MQTT is not wanted.
pub(crate) fn options(config: &MqttConfig) -> Result<Option<MqttOptions>, MqttError> {
    if config.url.is_empty() {
        return Ok(None);
    }
    let (scheme, rest) = config.url.split_once("://").ok_or(MqttError::Url)?;
    let (host, port) = rest.trim_end_matches('/').rsplit_once(':').ok_or(MqttError::Url)?;
    let port: u16 = port.parse().map_err(|_| MqttError::Url)?;
    let host = host.trim_start_matches('[').trim_end_matches(']');
    let mut options = MqttOptions::builder(config.client_id.clone(), Broker::tcp(host, port))
        .keep_alive(KEEP_ALIVE_SECONDS)
        .clean_session(false)
        .ack_mode(AckMode::Manual)
        .request_channel_capacity(QUEUE)
        .max_packet_size(PACKET_BYTES_MAX, PACKET_BYTES_MAX);
    let on_loopback = host == "localhost" || host.parse().is_ok_and(|ip: std::net::IpAddr| ip.is_loopback());
    match scheme {
        "mqtts" => options = options.transport(Transport::Tls(tls(config)?)),
        "mqtt" if on_loopback => {}
        "mqtt" => return Err(MqttError::PlainOutside),
        _ => return Err(MqttError::Url),
    }
    if !config.user.is_empty() {
        let wrong =
            |error: &dyn std::fmt::Display| MqttError::File { option: "password_file", reason: error.to_string() };
        let password =
            sealwort_net::secret_file::read(Path::new(&config.password_file)).map_err(|error| wrong(&error))?;
        options = options.credentials(config.user.clone(), password.trim_ascii_end().to_vec());
    }
    options.try_build().map(Some).map_err(|error| MqttError::Options(error.to_string()))
}

fn tls(config: &MqttConfig) -> Result<TlsConfiguration, MqttError> {
    let wrong = |reason: String| MqttError::File { option: "authority", reason };
    let client = sealwort_net::tls::outside_client_config(Some(Path::new(&config.authority))).map_err(wrong)?;
    Ok(TlsConfiguration::Rustls(client))
}

/// Listens until `shutdown`.
pub(crate) async fn listen(gateway: Arc<Gateway>, options: MqttOptions, shutdown: Shutdown) {
    let (client, mut events) = match AsyncClient::builder(options).try_build() {
        Ok(pair) => pair,
        Err(error) => return tracing::error!(%error, "the MQTT client cannot be made"),
    };
    let mut backoff = Backoff::default();
    // What is being taken in is bounded; the broker keeps the rest.
    let places = Arc::new(Semaphore::new(QUEUE));
    loop {
        let event = tokio::select! {
            event = events.poll() => event,
            () = shutdown.wait() => break,
        };
        match event {
            Ok(Event::Incoming(Packet::ConnAck(_))) => {
                backoff.reset();
                tracing::info!("connected to the hospital's MQTT broker");
                if let Err(error) = client.try_subscribe(TOPIC_FILTER, QoS::AtLeastOnce) {
                    tracing::error!(%error, "the topics of devices could not be subscribed to");
                }
            }
            Ok(Event::Incoming(Packet::Publish(publish))) => {
                let Ok(place) = Arc::clone(&places).acquire_owned().await else { break };
                let (gateway, client, shutdown) = (Arc::clone(&gateway), client.clone(), shutdown.clone());
                tokio::spawn(observe::follow(async move {
                    take(&gateway, &client, publish, shutdown).await;
                    drop(place);
                }));
            }
            Ok(_) => {}
            Err(error) => {
                let wait = backoff.next_wait();
                tracing::warn!(%error, retry_in = ?wait, "the hospital's MQTT broker is away");
                tokio::select! {
                    () = tokio::time::sleep(wait) => {}
                    () = shutdown.wait() => break,
                }
            }
        }
    }
    let _ = client.try_disconnect();
}

/// Takes a publication in, trying until it is durable or refused for good; then the broker is told.
async fn take(gateway: &Arc<Gateway>, client: &AsyncClient, publish: Publish, shutdown: Shutdown) {
    let topic = String::from_utf8_lossy(&publish.topic).into_owned();
    match device_of_topic(&topic) {
        Ok(device) => loop {
            match gateway.take_or_keep(device.as_str(), &publish.payload).await {
                Ok(()) => break,
                // The device is at fault; what it sent is kept.
                Err(error) if error.status() < 500 => {
                    tracing::warn!(device = device.as_str(), code = error.code(), "a device's payload is refused");
                    break;
                }
                Err(error) => {
                    tracing::error!(device = device.as_str(), %error, "a device's payload could not be made durable yet");
                    tokio::select! {
                        () = tokio::time::sleep(RETRY) => {}
                        () = shutdown.wait() => return,
                    }
                }
            }
        },
        Err(error) => tracing::warn!(%error, "a publication under a topic of no device is dropped"),
    }
    if let Err(error) = client.ack(&publish).await {
        tracing::warn!(%error, "the MQTT broker could not be told; it will send again, which changes nothing");
    }
}
