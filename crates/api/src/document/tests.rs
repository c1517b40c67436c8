use std::collections::BTreeSet;

use jsonschema::Validator;
use poem_openapi::OpenApi;

use super::*;

/// Validator of a schema of the document. OpenAPI 3.0 writes `nullable` instead of the type `null`,
/// and objects must not have undocumented properties.
fn validator(document: &Value, schema: &Value) -> Validator {
    fn convert(schema: &mut Value) {
        match schema {
            Value::Object(object) => {
                object.values_mut().for_each(convert);
                if object.remove("nullable") == Some(json!(true)) {
                    let kind = object.get("type").cloned().expect("a nullable schema has a type");
                    object.insert("type".to_owned(), json!([kind, "null"]));
                }
                if object.get("type") == Some(&json!("object")) {
                    object.insert("additionalProperties".to_owned(), json!(false));
                }
            }
            Value::Array(items) => items.iter_mut().for_each(convert),
            _ => {}
        }
    }
    let mut schemas = json!({ "allOf": [schema], "components": document["components"] });
    convert(&mut schemas);
    jsonschema::draft202012::options()
        .should_validate_formats(true)
        .build(&schemas)
        .expect("the schema is valid")
}

/// Operations of the document, by id.
fn operations_by_id(document: &Value) -> Vec<(&str, &Value)> {
    let paths = document["paths"].as_object().expect("the document has paths");
    let operations = paths.values().filter_map(Value::as_object).flat_map(Map::values);
    operations.map(|operation| (text(&operation["operationId"]), operation)).collect()
}

/// Examples of a media type.
fn examples(media: &Value) -> Vec<&Value> {
    let named = media["examples"].as_object().into_iter().flat_map(Map::values);
    media.get("example").into_iter().chain(named.map(|example| &example["value"])).collect()
}

#[test]
fn every_example_is_valid() {
    let document: Value = serde_json::from_str(&document()).expect("the document is JSON");
    for (id, operation) in operations_by_id(&document) {
        let body = std::iter::once(("body", &operation["requestBody"]));
        let responses = operation["responses"].as_object().expect("an operation has responses");
        let responses = responses.iter().map(|(status, response)| (status.as_str(), response));
        for (place, content) in body.chain(responses) {
            for (media_type, media) in content["content"].as_object().into_iter().flatten() {
                let examples = examples(media);
                assert!(!examples.is_empty(), "{id} {place} {media_type} has no example");
                let validator = validator(&document, &media["schema"]);
                for example in examples {
                    let errors: Vec<_> =
                        validator.iter_errors(example).map(|error| error.to_string()).collect();
                    assert!(errors.is_empty(), "{id} {place}: {errors:?}");
                    if media_type == "application/problem+json" {
                        assert_eq!(example["status"].to_string(), place, "{id}");
                    }
                }
            }
        }
    }
    let schemas = document["components"]["schemas"].as_object().expect("there are schemas");
    for (name, schema) in schemas {
        if let Some(example) = schema.get("example") {
            assert!(validator(&document, schema).is_valid(example), "{name}");
        } else {
            assert!(schema["type"] != "object", "{name} has no example");
        }
    }
}

#[test]
fn every_documented_problem_has_an_example() {
    let document: Value = serde_json::from_str(&document()).expect("the document is JSON");
    let mut codes = BTreeSet::new();
    for (id, operation) in operations_by_id(&document) {
        for (status, response) in operation["responses"].as_object().into_iter().flatten() {
            let media = &response["content"]["application/problem+json"];
            if !media.is_null() {
                assert!(!examples(media).is_empty(), "{id} {status}");
                codes.extend(examples(media).iter().map(|example| text(&example["code"])));
            }
        }
    }
    insta::assert_compact_debug_snapshot!(codes);
}

#[test]
fn operations_have_stable_ids() {
    let document: Value = serde_json::from_str(&document()).expect("the document is JSON");
    let paths = document["paths"].as_object().expect("the document has paths");
    let mut list = Vec::new();
    for (path, operations) in paths {
        for (method, operation) in operations.as_object().into_iter().flatten() {
            let method = method.to_uppercase();
            list.push(format!("{} = {method} {path}", text(&operation["operationId"])));
        }
    }
    insta::assert_snapshot!(list.join("\n"));
}

#[test]
fn header_names_are_canonical() {
    let document: Value = serde_json::from_str(&document()).expect("the document is JSON");
    for (id, operation) in operations_by_id(&document) {
        let parameters = operation["parameters"].as_array().into_iter().flatten();
        let parameters = parameters.filter(|parameter| parameter["in"] == "header");
        let parameters = parameters.map(|parameter| text(&parameter["name"]));
        let responses = operation["responses"].as_object().into_iter().flat_map(Map::values);
        let headers = responses
            .flat_map(|response| response["headers"].as_object().into_iter().flat_map(Map::keys));
        for name in parameters.chain(headers.map(String::as_str)) {
            assert!(HEADER_NAMES.contains(&name), "{id}: {name}");
        }
    }
}

#[test]
fn swagger_ui_shows_the_completed_document() {
    assert!(swagger_ui_html().contains(&document()));
}

/// The generator writes a path once for each group that has operations on it, and readers of JSON
/// keep the last one.
#[test]
fn every_path_belongs_to_one_group() {
    let mut paths = BTreeSet::new();
    for path in Operations::meta().into_iter().flat_map(|group| group.paths) {
        assert!(paths.insert(path.path.clone()), "{} is in two groups", path.path);
    }
}
