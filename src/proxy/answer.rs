//! What a client gets of an upstream's answer to a guarded upload.

use std::time::Duration;

use bytes::Bytes;
use http::header::CONTENT_LENGTH;
use http::{Response, StatusCode};
use http_body_util::{BodyExt as _, LengthLimitError, Limited};
use hyper::ext::ReasonPhrase;
use tokio::time::timeout;

use super::UpstreamError;
use super::body::{Body, whole};
use super::credential::Shown;
use super::headers::returned_from_guarded;

/// An answer that may go to the client, with the upstream's own words.
pub type Answered = Response<Body>;

/// Sorts the answer to a guarded upload: success and what is wrong with the file pass; what is wrong between the
/// gateway and the index, or inside the index, is an error of ours.
///
/// The bodies of 401, 403, 3xx and 5xx are never passed on, and of the others only what does not hold the gateway's
/// credential: a server that echoes what it got cannot show it.
pub(super) async fn guarded_answer(answer: Response<Body>, shown: &Shown) -> Result<Answered, UpstreamError> {
    let status = answer.status();
    match status {
        StatusCode::BAD_REQUEST
        | StatusCode::NOT_FOUND
        | StatusCode::CONFLICT
        | StatusCode::PAYLOAD_TOO_LARGE
        | StatusCode::UNPROCESSABLE_ENTITY => cleaned(answer, shown).await,
        _ if status.is_success() => cleaned(answer, shown).await,
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => {
            Err(UpstreamError::CredentialRefused(status.as_u16()))
        }
        StatusCode::SWITCHING_PROTOCOLS => Err(UpstreamError::Switch),
        _ if status.is_redirection() => Err(UpstreamError::Redirect(status.as_u16())),
        _ => Err(UpstreamError::Failed(status.as_u16())),
    }
}

/// The status passes, because the file may be stored. The words pass if they are safe.
async fn cleaned(answer: Response<Body>, shown: &Shown) -> Result<Answered, UpstreamError> {
    let (mut head, body) = answer.into_parts();
    head.headers = returned_from_guarded(&head.headers);
    let reason = head.extensions.remove::<ReasonPhrase>();
    head.extensions.clear();
    if let Some(reason) = reason.filter(|reason| !shown.is_in(reason.as_bytes()))
        && let Some(reason) = one_line(reason.as_bytes())
    {
        head.extensions.insert(reason);
    }
    let echoes = head.headers.values().any(|value| shown.is_in(value.as_bytes()));
    if echoes {
        head.headers.clear();
    }
    // The length is the gateway's to say: the body may have been left out.
    head.headers.remove(CONTENT_LENGTH);
    let body = timeout(LONGEST_ANSWER, Limited::new(body, LARGEST_ANSWER).collect()).await;
    let body = match body.map_err(|_| UpstreamError::Slow(LONGEST_ANSWER))? {
        Ok(body) => Some(body.to_bytes()),
        Err(error) if error.is::<LengthLimitError>() => None,
        Err(error) => return Err(UpstreamError::Broken(error.to_string())),
    };
    let body = body.filter(|body| !echoes && !shown.is_in(body)).unwrap_or_else(|| {
        let status = head.status.as_u16();
        tracing::warn!(
            status,
            "left out the body of the index's answer: too long, or the gateway's credential in it"
        );
        Bytes::new()
    });
    Ok(Response::from_parts(head, whole(body)))
}

/// Answers to uploads are a line or a page; this much of one is looked at and passed on.
const LARGEST_ANSWER: usize = 256 * 1024;
/// And for no longer than this, however steadily it comes.
const LONGEST_ANSWER: Duration = Duration::from_secs(60);

/// One line of printable ASCII: devpi writes what the client sent into its reason phrase.
fn one_line(reason: &[u8]) -> Option<ReasonPhrase> {
    const LONGEST: usize = 400;
    let printable = |b: &u8| if *b == b' ' || b.is_ascii_graphic() { *b } else { b'?' };
    let line: Vec<u8> = reason.iter().take(LONGEST).map(printable).collect();
    ReasonPhrase::try_from(Bytes::from(line)).ok()
}
