//! What is worth telling of a request, collected on its way.

use std::net::IpAddr;

use aws_lc_rs::rand;
use http::StatusCode;
use tokio::time::Instant;

use crate::clock::Clock;
use crate::names::{IndexName, PublisherName};
use crate::observe::audit::{Event, Outcome, Record};
use crate::policy::{Grant, Permit, VerifiedClaims};
use crate::token::UploadIdentity;
use crate::upload::Upload;

/// The audit line in the making.
#[derive(Debug)]
pub(super) struct Story {
    record: Record,
    begun: Instant,
    /// Ordinary traffic leaves no line.
    worth_telling: bool,
}

impl Story {
    pub(super) fn begin(event: Event, client: IpAddr, config: &str, clock: &Clock) -> Self {
        let record = Record::begin(event, new_reference(), client, config.to_owned(), clock.now());
        Self { record, begun: Instant::now(), worth_telling: false }
    }

    /// What the caller is told to quote, and an administrator finds the line by.
    pub(super) fn reference(&self) -> &str {
        &self.record.reference
    }

    pub(super) fn about(&mut self, event: Event) {
        self.record.event = event;
        self.worth_telling = true;
    }

    pub(super) fn identified(&mut self, identity: &UploadIdentity) {
        self.record.token_id = Some(identity.token_id.clone());
        self.claims(&identity.claims);
    }

    pub(super) fn claims(&mut self, claims: &VerifiedClaims) {
        self.record.issuer = Some(claims.issuer().clone());
        self.record.claims = claims.claims().clone();
        self.record.facts = claims.facts().clone();
    }

    pub(super) fn relayed_upload(&mut self, index: &IndexName) {
        self.about(Event::Upload);
        self.record.decision = Outcome::Relay;
        self.record.index = Some(index.clone());
    }

    /// A password was used where the rules want none.
    pub(super) fn warned(&mut self) {
        self.record.warning =
            Some("a classic credential uploads where the rules advise against it".to_owned());
    }

    /// Publishers in observe mode would have allowed this.
    pub(super) fn observed(&mut self, publishers: Vec<PublisherName>) {
        self.record.observed = publishers;
    }

    pub(super) fn uploading(&mut self, index: &IndexName, upload: &Upload) {
        self.record.index = Some(index.clone());
        self.record.project = Some(upload.project().clone());
        self.record.version = Some(upload.version().to_string());
        self.record.file_name = Some(upload.file_name().to_owned());
        self.record.sha256 = Some(upload.sha256().to_owned());
    }

    pub(super) fn permitted(&mut self, permit: &Permit) {
        self.record.publisher = vec![permit.publisher().clone()];
        self.record.decision = Outcome::Fail;
    }

    pub(super) fn granted(&mut self, grants: &[Grant]) {
        self.record.publisher = grants.iter().map(|grant| grant.publisher.clone()).collect();
        self.record.decision = Outcome::Allow;
    }

    /// It is about this index alone.
    pub(super) fn for_index(&mut self, index: &IndexName) {
        self.record.index = Some(index.clone());
    }

    pub(super) fn minted(&mut self, token_id: &str) {
        self.record.token_id = Some(token_id.to_owned());
    }

    /// The request was answered, by us or by the index.
    pub(super) fn answered(&mut self, status: StatusCode) {
        self.record.status = status.as_u16();
        if self.record.decision == Outcome::Fail && status.is_success() {
            self.record.decision = Outcome::Allow;
        }
    }

    /// The request was refused, or what was allowed did not work.
    pub(super) fn refused(&mut self, why: &impl ToString, status: StatusCode) {
        self.worth_telling = true;
        self.record.status = status.as_u16();
        self.record.reason = Some(why.to_string());
        if self.record.decision != Outcome::Fail {
            self.record.decision = Outcome::Refuse;
        }
    }

    /// The line, if there is something to tell.
    pub(super) fn end(mut self) -> Option<Record> {
        let lasted = self.begun.elapsed().as_millis();
        self.record.duration_ms = u64::try_from(lasted).unwrap_or(u64::MAX);
        self.worth_telling.then_some(self.record)
    }
}

/// Ten letters and digits: short enough to read out, too many to guess or repeat.
fn new_reference() -> String {
    const DIGITS: &[u8; 32] = b"abcdefghjkmnpqrstuvwxyz023456789";
    let mut bytes = [0; 10];
    // Without random bytes no token is minted either; the reference then names nothing.
    _ = rand::fill(&mut bytes);
    bytes.iter().map(|b| char::from(DIGITS[usize::from(b % 32)])).collect()
}
