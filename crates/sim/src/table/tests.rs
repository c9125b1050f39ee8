use super::*;
use crate::kinds::{self, KINDS};

const OPTIONS: TableOptions = TableOptions { version: "v1", include: IncludeObject::Metadata };

/// Whatever an object holds or lacks, its row has a cell for each column.
#[test]
fn every_kind_fills_its_columns() {
    let odd = json!({
        "metadata": 1, "spec": [], "status": "x", "subsets": {}, "webhooks": 3, "subjects": [1, null], "roleRef": [],
    });
    for kind in KINDS {
        for object in [json!({}), json!([]), odd.clone(), json!({ "spec": {}, "status": {}, "metadata": {} })]
        {
            let table = of_object(kind, &object, OPTIONS, Timestamp::UNIX_EPOCH);
            let columns = table["columnDefinitions"].as_array().unwrap();
            assert_eq!(columns.len(), table["rows"][0]["cells"].as_array().unwrap().len(), "{}", kind.plural);
        }
    }
}

#[test]
fn a_kind_without_a_printer_shows_when_it_was_made() {
    let kind = kinds::by_plural("roles").unwrap();
    let role = json!({ "metadata": { "name": "r", "creationTimestamp": "2026-01-01T00:00:00Z" } });
    let table = of_object(kind, &role, OPTIONS, Timestamp::UNIX_EPOCH);
    assert_eq!(table["rows"][0]["cells"], json!(["r", "2026-01-01T00:00:00Z"]));
    assert_eq!(table["columnDefinitions"][1]["type"], "date");
}

#[test]
fn what_goes_with_a_row() {
    let kind = kinds::by_plural("configmaps").unwrap();
    let map = json!({ "kind": "ConfigMap", "metadata": { "name": "c", "resourceVersion": "7" }, "data": { "a": "b" } });
    let object = |include| {
        let options = TableOptions { version: "v1beta1", include };
        let mut table = of_object(kind, &map, options, Timestamp::UNIX_EPOCH);
        assert_eq!(
            (&table["apiVersion"], &table["metadata"]),
            (&json!("meta.k8s.io/v1beta1"), &json!({ "resourceVersion": "7" }))
        );
        table["rows"][0]["object"].take()
    };
    assert_eq!(object(IncludeObject::None), Value::Null);
    assert_eq!(object(IncludeObject::Object), map);
    let metadata = object(IncludeObject::Metadata);
    assert_eq!(
        (&metadata["kind"], &metadata["metadata"]["name"]),
        (&json!("PartialObjectMetadata"), &json!("c"))
    );
    assert_eq!(metadata["data"], Value::Null);
    assert_eq!(IncludeObject::parse("All").unwrap_err().code, 400);
}

/// The recorded story shows one table.
#[test]
fn the_recorded_table() {
    let story = include_str!("../../tests/transcripts/16-namespaces-list-table.json");
    let story: Value = serde_json::from_str(story).unwrap();
    let recorded = &story["response"]["body"];
    let namespace = json!({
        "metadata": recorded["rows"][0]["object"]["metadata"],
        "status": { "phase": "Active" },
    });
    let now = "2026-11-20T09:37:22Z".parse().unwrap();
    let kind = kinds::by_plural("namespaces").unwrap();
    let metadata = json!({ "resourceVersion": "850" });
    assert_eq!(of_list(kind, [&namespace], &metadata, OPTIONS, now), *recorded);
}

/// Columns describe themselves by fields that are there.
#[test]
fn every_described_field_is_known() {
    for kind in KINDS {
        let table = of_object(kind, &json!({}), OPTIONS, Timestamp::UNIX_EPOCH);
        for column in table["columnDefinitions"].as_array().unwrap() {
            let known = column["description"] != "" || column["name"] == "Handler";
            assert!(known, "{} {}", kind.plural, column["name"]);
        }
    }
}
