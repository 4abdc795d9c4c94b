//! `indexgate schema` prints what editors read.

use std::process::Command;

use indexgate::config::{SchemaOf, schema};
use serde_json::Value;

use crate::support::gateway::binary;

#[test]
fn the_command_prints_the_schema_of_the_main_file_or_of_rules() {
    for (arguments, of) in [(&["schema"][..], SchemaOf::Main), (&["schema", "--rules"], SchemaOf::Rules)] {
        let output = Command::new(binary()).args(arguments).output().unwrap();
        assert!(output.status.success() && output.stderr.is_empty());
        let printed: Value = serde_json::from_slice(&output.stdout).unwrap();
        assert_eq!(printed, schema(of));
        assert_eq!(printed["$schema"], "https://json-schema.org/draft/2020-12/schema");
    }
}
