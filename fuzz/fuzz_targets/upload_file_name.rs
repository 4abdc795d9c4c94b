//! Any text as a file name: no panic, and what is accepted is plain and begins with its project.
#![no_main]

use indexgate::names::ProjectName;
use indexgate::upload::FileName;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    let Ok(name) = text.parse::<FileName>() else { return };
    assert_eq!(name.as_str(), text);
    assert!(text.bytes().all(|b| b.is_ascii_graphic() && b != b'/' && b != b'\\'));
    let project = name.release().project.as_str();
    let begins = (1..text.len())
        .filter(|end| text.as_bytes()[*end] == b'-')
        .any(|end| text[..end].parse::<ProjectName>().is_ok_and(|prefix| prefix.as_str() == project));
    assert!(begins);
});
