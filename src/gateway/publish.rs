//! The guarded lane: an upload with an upload token. Received whole, checked, decided, rebuilt, and only then sent.

use std::time::Duration;

use bytes::BytesMut;
use http::header::{CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE};
use http::{HeaderMap, Response, request};
use tokio::task::spawn_blocking;
use tokio::time::timeout;

use super::{Gateway, Story};
use crate::policy::{Asked, Permit, decide, why_no_upload};
use crate::proxy::{Arriving, Body, Caller, IndexRoute, Refusal, UpstreamError};
use crate::token::{BadToken, UploadIdentity};
use crate::upload::{Receiver, Upload, UploadError};

/// How long an upload may take to arrive, however steadily: a token that has ended meanwhile was good at its start.
const LONGEST_UPLOAD: Duration = Duration::from_secs(3600);

impl Gateway {
    /// An upload, from its head to the index's answer.
    pub(super) async fn publish(
        &self,
        index: &IndexRoute,
        identity: UploadIdentity,
        head: &request::Parts,
        mut body: Arriving,
        caller: &Caller,
        story: &mut Story,
    ) -> Result<Response<Body>, Refusal> {
        self.check_not_revoked(&identity).await?;
        check_index(&identity, index)?;
        let upload = self.receive(&head.headers, &mut body).await?;
        story.uploading(&index.index, &upload);
        // It may have been given back while the upload arrived.
        self.check_not_revoked(&identity).await?;
        let permit = self.permit(index, &identity, &upload, story)?;
        if !self.audit.is_writing() {
            return Err(Refusal::Audit);
        }

        let upstream = self.upstreams.get(&index.upstream).ok_or(Refusal::NoUpstream)?;
        self.use_up(&identity).await?;
        story.permitted(&permit);

        let failed = |error: UpstreamError| Refusal::Upstream { upstream: index.upstream.clone(), error };
        let answer = upstream.publish(permit, index, upload, &head.headers, caller).await;
        if !may_be_stored(&answer) {
            self.take_back_use(&identity).await;
        }
        answer.map_err(failed)
    }

    /// The right to make this upload, by the rules of this moment.
    fn permit(
        &self,
        index: &IndexRoute,
        identity: &UploadIdentity,
        upload: &Upload,
        story: &mut Story,
    ) -> Result<Permit, Refusal> {
        let (setup, claims, now) = (&self.setup, &identity.claims, self.clock.now());
        let asked = Asked {
            index: index.index.clone(),
            project: upload.project().clone(),
            version: upload.version().clone(),
        };
        let decision = decide(&setup.rules, claims, Some(&asked), now);
        story.observed(decision.observed.clone());
        if let Some(permit) = decision.permit {
            return Ok(permit);
        }
        let decision = setup.reasons(decision, claims, Some(&asked), now);
        Err(Refusal::NotPermitted(why_no_upload(&decision, claims, &asked, setup.detail)))
    }

    /// Uses up a token that is for one upload, before the index sees the file: of two uploads at once one is sent. Should
    /// the gateway or the client end before the index answers, the token stays used.
    async fn use_up(&self, identity: &UploadIdentity) -> Result<(), Refusal> {
        let UploadIdentity { terms, token_id, expires, .. } = identity;
        if terms.single_use && !self.store.use_once(token_id, *expires, self.clock.now()).await? {
            return Err(BadToken::Used.into());
        }
        Ok(())
    }

    async fn take_back_use(&self, identity: &UploadIdentity) {
        if identity.terms.single_use
            && let Err(error) = self.store.unuse(&identity.token_id).await
        {
            tracing::error!(%error, token_id = identity.token_id, "a token stays used, although its upload failed");
        }
    }

    async fn check_not_revoked(&self, identity: &UploadIdentity) -> Result<(), Refusal> {
        match self.store.is_revoked(&identity.token_id).await? {
            true => Err(BadToken::Revoked.into()),
            false => Ok(()),
        }
    }

    /// Reads the form to its end. The inspection runs beside the reading, on a blocking thread, one batch behind; no
    /// blocking thread ever waits for a client.
    pub(super) async fn receive(&self, headers: &HeaderMap, body: &mut Arriving) -> Result<Upload, Refusal> {
        timeout(LONGEST_UPLOAD, self.receive_form(headers, body)).await.unwrap_or(Err(Refusal::Stalled))
    }

    async fn receive_form(&self, headers: &HeaderMap, body: &mut Arriving) -> Result<Upload, Refusal> {
        let mut receiver = self.receiver(headers)?;
        let mut batch = self.next_batch(body).await?;
        while let Some(bytes) = batch {
            let inspection = spawn_blocking(move || inspect(receiver, &bytes));
            let inspected = async { Ok(inspection.await.map_err(|_| Refusal::Internal)??) };
            (receiver, batch) = tokio::try_join!(inspected, self.next_batch(body))?;
        }
        Ok(spawn_blocking(move || receiver.finish()).await.map_err(|_| Refusal::Internal)??)
    }

    fn receiver(&self, headers: &HeaderMap) -> Result<Receiver, Refusal> {
        let limits = &self.setup.limits.upload;
        let coded = |value: &http::HeaderValue| !value.as_bytes().eq_ignore_ascii_case(b"identity");
        if headers.get_all(CONTENT_ENCODING).iter().any(coded) {
            return Err(Refusal::ContentEncoding);
        }
        let declared =
            headers.get(CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse::<u64>().ok());
        if declared.is_some_and(|length| length > limits.size) {
            return Err(Refusal::TooLarge { limit: limits.size });
        }
        let content_type = headers.get(CONTENT_TYPE).map_or(&[][..], |value| value.as_bytes());
        Ok(Receiver::new(content_type, limits, &self.setup.spool)?)
    }

    /// The next batch; less only at the end. `None` after the last.
    async fn next_batch(&self, body: &mut Arriving) -> Result<Option<BytesMut>, Refusal> {
        const BATCH: usize = 512 * 1024;
        // One buffer, because a client may send its upload byte by byte.
        let mut batch = BytesMut::new();
        while batch.len() < BATCH {
            let next = timeout(self.setup.limits.body_pause, body.next()).await;
            match next.map_err(|_| Refusal::Stalled)? {
                Some(Ok(chunk)) => batch.extend_from_slice(&chunk),
                // Half an upload is no upload.
                Some(Err(_)) => return Err(Refusal::Aborted),
                None => break,
            }
        }
        Ok((!batch.is_empty()).then_some(batch))
    }
}

/// A token that was minted for one index is for no other, whatever the rules give its identity.
fn check_index(identity: &UploadIdentity, index: &IndexRoute) -> Result<(), Refusal> {
    let here = &index.index;
    match &identity.terms.index {
        Some(only) if only != here => Err(Refusal::NotPermitted(format!(
            "this token is for index `{only}` alone, not for index `{here}`; upload there, or exchange an identity token at the endpoint of index `{here}`"
        ))),
        Some(_) | None => Ok(()),
    }
}

/// Whether the index has the file, for all that is known: without an answer it may have.
fn may_be_stored(answer: &Result<Response<Body>, UpstreamError>) -> bool {
    match answer {
        Ok(answer) => answer.status().is_success(),
        Err(UpstreamError::Slow(_) | UpstreamError::Broken(_)) => true,
        Err(
            UpstreamError::Connect(_)
            | UpstreamError::Switch
            | UpstreamError::NotPermitted
            | UpstreamError::CredentialRefused(_)
            | UpstreamError::Login(_)
            | UpstreamError::Redirect(_)
            | UpstreamError::Failed(_),
        ) => false,
    }
}

fn inspect(mut receiver: Receiver, batch: &[u8]) -> Result<Receiver, UploadError> {
    receiver.push(batch)?;
    Ok(receiver)
}
