//! The patient portal: pages for patients and their delegates, on the record that they chose, by the session that they
//! signed in with. Every look goes the way of the FHIR face: the session's own token says who asks, the same functions
//! decide what is seen, and the entry is on disk before the page leaves. No page shows a word of FHIR.
//!
//! | file | page |
//! |---|---|
//! | `start` | the door: sign in, choose a record |
//! | `visit` | who asks, about which record, and the frame around what is answered |
//! | `record` | the record in plain words, for the pages that show it |
//! | `looks`, `last` | who had to do with it, in plain words; who opened it last |
//! | `offer` | the form of *Sharing* |
//! | `questions` | questions about a look, and their answers |
//! | the others | the page of that name |

mod delegates;
mod devices;
mod document;
mod export;
mod item;
pub(crate) mod last;
mod looked;
mod looks;
mod offer;
mod paper;
mod preview;
mod questions;
mod record;
mod sharing;
mod start;
mod summary;
mod timeline;
mod visit;

use std::sync::Arc;

use axum::Router;
use axum::routing::{get, post};
use sealwort_pages::words::portal as words;

use crate::Gateway;

/// Path of the portal.
pub(super) const PORTAL: &str = "/portal";

/// The routes. `record` is a handle of the visitor's own (`visit`): no address names a patient.
pub(super) fn routes() -> Router<Arc<Gateway>> {
    let at = |path: &str| format!("{PORTAL}/{{record}}{path}");
    Router::new()
        .route(PORTAL, get(start::show))
        .route(&at(""), get(summary::show))
        .route(&at("/timeline"), get(timeline::show).post(timeline::find))
        .route(&at("/item/{entry}"), get(item::show))
        .route(&at("/item/{entry}/original"), get(item::original))
        .route(&at("/item/{entry}/file/{number}"), get(document::file))
        .route(&at("/item/{entry}/file/{number}/open"), get(document::open))
        .route(&at("/sharing"), get(sharing::show).post(sharing::give))
        .route(&at("/sharing/preview"), post(preview::show))
        .route(&at("/sharing/stop"), post(sharing::stop))
        .route(&at("/looked"), get(looked::show))
        .route(&at("/looked/proof"), get(looked::proof))
        .route(&at("/looked/question/{entry}"), get(questions::show).post(questions::ask))
        .route(&at("/devices"), get(devices::show))
        .route(&at("/export"), get(export::show))
        .route(&at("/export/{form}"), get(export::file))
        .route(&at("/print"), get(paper::print))
        .route(&at("/print/pdf"), get(paper::pdf))
        .route(&at("/delegates"), get(delegates::show).post(delegates::add))
        .route(&at("/delegates/end"), post(delegates::end))
}

/// Pages of the navigation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Page {
    Summary,
    Timeline,
    Sharing,
    Looked,
    Devices,
    Export,
    Delegates,
}

impl Page {
    const ALL: [Self; 7] =
        [Self::Summary, Self::Timeline, Self::Sharing, Self::Looked, Self::Devices, Self::Export, Self::Delegates];

    /// Below the record's own path.
    const fn path(self) -> &'static str {
        match self {
            Self::Summary => "",
            Self::Timeline => "/timeline",
            Self::Sharing => "/sharing",
            Self::Looked => "/looked",
            Self::Devices => "/devices",
            Self::Export => "/export",
            Self::Delegates => "/delegates",
        }
    }

    const fn title(self) -> &'static str {
        match self {
            Self::Summary => words::SUMMARY,
            Self::Timeline => words::TIMELINE,
            Self::Sharing => words::SHARING,
            Self::Looked => words::LOOKED,
            Self::Devices => words::DEVICES,
            Self::Export => words::EXPORT,
            Self::Delegates => words::DELEGATES,
        }
    }
}
