//! What a client gets of an upstream's answer to a guarded upload.

use bytes::Bytes;
use http::{Response, StatusCode};
use hyper::ext::ReasonPhrase;

use super::UpstreamError;
use super::body::Body;
use super::headers::returned_from_guarded;

/// An answer that may go to the client, with the upstream's own words.
pub type Answered = Response<Body>;

/// Sorts the answer to a guarded upload: success and what is wrong with the file pass; what is wrong between the
/// gateway and the index, or inside the index, is an error of ours.
///
/// The bodies of 401, 403, 3xx and 5xx are never passed on, so that a server which echoes what it got cannot show
/// the gateway's credential.
pub fn guarded_answer(answer: Response<Body>) -> Result<Answered, UpstreamError> {
    let status = answer.status();
    match status {
        StatusCode::BAD_REQUEST
        | StatusCode::NOT_FOUND
        | StatusCode::CONFLICT
        | StatusCode::PAYLOAD_TOO_LARGE
        | StatusCode::UNPROCESSABLE_ENTITY => Ok(cleaned(answer)),
        _ if status.is_success() => Ok(cleaned(answer)),
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => {
            Err(UpstreamError::CredentialRefused(status.as_u16()))
        }
        StatusCode::SWITCHING_PROTOCOLS => Err(UpstreamError::Switch),
        _ if status.is_redirection() => Err(UpstreamError::Redirect(status.as_u16())),
        _ => Err(UpstreamError::Failed(status.as_u16())),
    }
}

fn cleaned(answer: Response<Body>) -> Answered {
    let (mut head, body) = answer.into_parts();
    head.headers = returned_from_guarded(&head.headers);
    let reason = head.extensions.remove::<ReasonPhrase>();
    head.extensions.clear();
    if let Some(reason) = reason.and_then(|reason| one_line(reason.as_bytes())) {
        head.extensions.insert(reason);
    }
    Response::from_parts(head, body)
}

/// One line of printable ASCII: devpi writes what the client sent into its reason phrase.
fn one_line(reason: &[u8]) -> Option<ReasonPhrase> {
    const LONGEST: usize = 400;
    let printable = |b: &u8| if *b == b' ' || b.is_ascii_graphic() { *b } else { b'?' };
    let line: Vec<u8> = reason.iter().take(LONGEST).map(printable).collect();
    ReasonPhrase::try_from(Bytes::from(line)).ok()
}
