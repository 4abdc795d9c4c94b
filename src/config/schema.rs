//! The configuration as a JSON Schema, for editors. What stands in `schema.json` is checked against what the reader
//! asks for; what the presets know is put in from them.

use serde_json::{Map, Value, json};

use crate::oidc::{Algorithm, Preset};
use crate::policy::Compare;

/// Which files it is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SchemaOf {
    /// `indexgate.toml`.
    Main,
    /// The files that it includes.
    Rules,
}

/// The JSON Schema (draft 2020-12) of a file.
///
/// # Panics
/// Never: the schema is part of the program, and a test reads it.
pub fn schema(of: SchemaOf) -> Value {
    let mut main: Value = serde_json::from_str(include_str!("schema.json")).expect("it is JSON");
    let mut rules = main["$defs"].as_object_mut().and_then(|defs| defs.remove("rules")).unwrap_or_default();
    fill(&mut main["$defs"]);
    match of {
        SchemaOf::Main => main,
        SchemaOf::Rules => {
            for shared in ["$schema", "$defs"] {
                rules[shared] = main[shared].take();
            }
            rules
        }
    }
}

/// Puts in what the presets know.
fn fill(defs: &mut Value) {
    let names = |presets: &mut dyn Iterator<Item = &'static Preset>| -> Value {
        presets.map(|preset| json!(preset.name)).collect()
    };
    let without_url = names(&mut Preset::ALL.into_iter().filter(|preset| preset.public_issuer.is_none()));
    let algorithms: Value = Algorithm::ALL.into_iter().map(|algorithm| json!(algorithm.name())).collect();

    let issuer = &mut defs["issuer"];
    issuer["properties"]["preset"]["enum"] = names(&mut Preset::ALL.into_iter());
    issuer["properties"]["algorithms"]["anyOf"] =
        json!([{"enum": algorithms}, {"type": "array", "minItems": 1, "items": {"enum": algorithms}}]);
    if let Some(conditions) = issuer["allOf"].as_array_mut() {
        conditions.push(json!({
            "if": {"properties": {"preset": {"enum": without_url}}, "required": ["preset"]},
            "then": {"required": ["url"]},
        }));
    }
    let rule_keys = rule_keys();
    extend(&mut defs["publisher"]["properties"], &rule_keys);
    extend(&mut defs["issuer"]["properties"]["require"]["properties"], &rule_keys);
}

fn extend(properties: &mut Value, more: &Map<String, Value>) {
    if let Some(properties) = properties.as_object_mut() {
        properties.extend(more.clone());
    }
}

/// Rules write `events` for it.
fn is_event(preset: &Preset, key: &str) -> bool {
    preset.event_key().is_some_and(|event| event.key == key)
}

/// The rule keys of all presets, each with the claims that it stands for.
fn rule_keys() -> Map<String, Value> {
    let mut keys = Map::new();
    for preset in Preset::ALL {
        for rule_key in preset.rule_keys.iter().filter(|rule_key| !is_event(preset, rule_key.key)) {
            let form = if rule_key.compare == Compare::Id { "#/$defs/ids" } else { "#/$defs/patterns" };
            let value = keys.entry(rule_key.key).or_insert_with(|| json!({"description": "", "$ref": form}));
            let sofar = value["description"].as_str().unwrap_or_default();
            let begun = if sofar.is_empty() { "Compared with " } else { &format!("{sofar}, ") };
            value["description"] = json!(format!("{begun}`{}` ({})", rule_key.claim, preset.name));
            // Where one provider's ids are numbers and another's are texts, both may be written.
            if value["$ref"] != form {
                let description = value["description"].take();
                let forms = [json!({"$ref": "#/$defs/ids"}), json!({"$ref": "#/$defs/patterns"})];
                *value = json!({"description": description, "anyOf": forms});
            }
        }
    }
    keys
}

#[cfg(test)]
mod tests;
