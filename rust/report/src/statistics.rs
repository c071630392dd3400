// SPDX-License-Identifier: GPL-2.0-or-later
//! Arranges the device's statistics, whatever their keys, as tables to read.
//!
//! Plain members of an object make a table of two columns. An object of objects (`planes`, `pools`, `namespaces`)
//! makes one table that has them side by side. Histograms, whose keys are numbers, are left to stats.json.

use serde_json::{Map, Value};

/// A table with a heading.
#[derive(Debug, PartialEq)]
pub struct Section {
    /// Heading.
    pub name: String,
    /// Titles of the value columns; a single empty one for a plain list.
    pub columns: Vec<String>,
    /// A name and a value for each column.
    pub rows: Vec<(String, Vec<String>)>,
}

type Object = Map<String, Value>;

/// How long each member of `planes` or `links` was busy, in the order of their numbers; nothing for a drive without.
pub fn busy_ns(stats: &Value, group: &str) -> Vec<(String, f64)> {
    let members = stats.get(group).and_then(Value::as_object);
    let mut list: Vec<_> = members
        .into_iter()
        .flatten()
        .filter_map(|(name, member)| Some((name.clone(), member.get("busy_ns")?.as_f64()?)))
        .collect();
    // JSON objects may come sorted as texts.
    list.sort_by_key(|(name, _)| name.parse::<u64>().unwrap_or(u64::MAX));
    list
}

/// The tables of a statistics object, outer ones first.
pub fn sections(stats: &Value) -> Vec<Section> {
    let mut all = Vec::new();
    if let Value::Object(members) = stats {
        collect("device", members, &mut all);
    }
    all.retain(|section| !section.rows.is_empty());
    all
}

fn collect(name: &str, members: &Object, all: &mut Vec<Section>) {
    let rows = members
        .iter()
        .filter_map(|(key, value)| Some((key.clone(), vec![plain(value)?])));
    all.push(Section {
        name: name.to_owned(),
        columns: vec![String::new()],
        rows: rows.collect(),
    });
    for (key, value) in members {
        let Value::Object(inner) = value else {
            continue;
        };
        if is_histogram(inner) {
            continue;
        }
        let name = if name == "device" {
            key.clone()
        } else {
            format!("{name}: {key}")
        };
        match family(inner) {
            Some(children) => collect_family(&name, &children, all),
            None => collect(&name, inner, all),
        }
    }
}

/// Children of the same kind: one table of their plain members, then what they have below.
fn collect_family(name: &str, children: &[(&String, &Object)], all: &mut Vec<Section>) {
    let mut keys: Vec<&String> = Vec::new();
    for (key, value) in children.iter().flat_map(|(_, child)| child.iter()) {
        if plain(value).is_some() && !keys.contains(&key) {
            keys.push(key);
        }
    }
    let cell = |child: &Object, key: &str| child.get(key).and_then(plain).unwrap_or_default();
    let (columns, rows) = if keys.len() > children.len() * 2 {
        let row = |key: &&String| children.iter().map(|(_, child)| cell(child, key)).collect();
        let rows = keys.iter().map(|key| ((*key).clone(), row(key))).collect();
        (
            children.iter().map(|(name, _)| (*name).clone()).collect(),
            rows,
        )
    } else {
        let row = |child: &Object| keys.iter().map(|key| cell(child, key)).collect();
        let rows = children
            .iter()
            .map(|(name, child)| ((*name).clone(), row(child)))
            .collect();
        (keys.iter().map(|key| (*key).clone()).collect(), rows)
    };
    all.push(Section {
        name: name.to_owned(),
        columns,
        rows,
    });
    for (child_name, child) in children {
        let below = child.iter().filter(|(_, value)| value.is_object());
        let below: Object = below
            .map(|(key, value)| (key.clone(), value.clone()))
            .collect();
        collect(&format!("{name}: {child_name}"), &below, all);
    }
}

/// The members, if they are all objects of at least one plain member (and not histograms).
fn family(members: &Object) -> Option<Vec<(&String, &Object)>> {
    let children: Option<Vec<_>> = members
        .iter()
        .map(|(key, value)| Some((key, value.as_object()?)))
        .collect();
    children.filter(|list| {
        !list.is_empty()
            && list
                .iter()
                .all(|(_, child)| child.values().any(|v| plain(v).is_some()))
    })
}

fn is_histogram(members: &Object) -> bool {
    members.keys().all(|key| key.parse::<u64>().is_ok()) && members.values().all(Value::is_number)
}

/// A value that fits into a cell.
fn plain(value: &Value) -> Option<String> {
    match value {
        Value::Object(_) => None,
        Value::Array(items) if items.iter().any(Value::is_object) => None,
        Value::String(text) => Some(text.clone()),
        other => Some(other.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn find<'a>(sections: &'a [Section], name: &str) -> &'a Section {
        sections.iter().find(|s| s.name == name).unwrap()
    }

    #[test]
    fn plain_members_are_a_list() {
        let got = sections(&json!({"waf": 1.0, "name": "x", "list": [1, 2], "pool": {"free": 3}}));
        assert_eq!(got[0].name, "device");
        assert!(
            got[0].rows.contains(&("name".into(), vec!["x".into()])),
            "no quotes"
        );
        assert!(got[0].rows.contains(&("list".into(), vec!["[1,2]".into()])));
        assert_eq!(find(&got, "pool").rows, [("free".into(), vec!["3".into()])]);
    }

    #[test]
    fn objects_of_the_same_kind_stand_side_by_side() {
        let got = sections(&json!({
            "planes": {"0": {"busy_ns": 1, "operations": 2}, "1": {"busy_ns": 3, "operations": 4}},
            "namespaces": {"data": {"a": 1, "b": 2, "c": 3, "latency": {"read": {"n": 5, "buckets": {"10": 5}}}}},
        }));
        let planes = find(&got, "planes");
        assert_eq!(planes.columns, ["busy_ns", "operations"]);
        assert_eq!(planes.rows[1], ("1".into(), vec!["3".into(), "4".into()]));
        let namespaces = find(&got, "namespaces");
        assert_eq!(namespaces.columns, ["data"]);
        assert_eq!(namespaces.rows.len(), 3);
        assert_eq!(
            find(&got, "namespaces: data: latency").rows,
            [("read".into(), vec!["5".into()])]
        );
        assert!(
            got.iter().all(|s| !s.name.contains("buckets")),
            "histograms are left out"
        );
    }

    #[test]
    fn anything_else_gives_no_tables() {
        assert!(sections(&json!([1])).is_empty());
        assert!(sections(&json!({})).is_empty());
        assert!(sections(&json!({"latency": {"buckets": {}}})).is_empty());
    }
}
