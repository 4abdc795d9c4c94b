//! Any body: no panic, the same outcome however it is cut, and what is accepted survives its own rebuilding.
#![no_main]

use indexgate::upload::{RebuiltBody, Receiver, Upload, UploadError, UploadLimits};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: (u8, &[u8])| {
    let (piece, body) = input;
    let content_type = b"multipart/form-data; boundary=XBX";
    let whole = receive(content_type, body, body.len().max(1));
    let pieces = receive(content_type, body, usize::from(piece).max(1));
    assert_eq!(story(&whole), story(&pieces));
    if let Ok(upload) = whole {
        let before = story(&Ok(upload));
        let Ok(upload) = pieces else { return };
        let rebuilt = upload.rebuild();
        let again = receive(rebuilt.content_type.as_bytes(), &all_bytes(&rebuilt), 4096);
        assert_eq!(before, story(&again));
    }
});

fn receive(content_type: &[u8], body: &[u8], piece: usize) -> Result<Upload, UploadError> {
    let limits = UploadLimits { spool_memory: 512, inflated: 1 << 20, ..UploadLimits::default() };
    let mut receiver = Receiver::new(content_type, &limits, &std::env::temp_dir())?;
    body.chunks(piece).try_for_each(|chunk| receiver.push(chunk))?;
    receiver.finish()
}

/// What the outcome says, with the name and version, so that two of them can be compared.
fn story(outcome: &Result<Upload, UploadError>) -> String {
    match outcome {
        Ok(upload) => {
            format!("{} {} {} {}", upload.project(), upload.version(), upload.file_name(), upload.sha256())
        }
        Err(error) => error.to_string(),
    }
}

fn all_bytes(body: &RebuiltBody) -> Vec<u8> {
    let mut all = Vec::new();
    loop {
        let bytes = body.read_at(all.len() as u64, 1000).expect("the spool can be read");
        if bytes.is_empty() {
            return all;
        }
        all.extend_from_slice(&bytes);
    }
}
