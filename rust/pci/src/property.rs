// SPDX-License-Identifier: GPL-2.0-or-later
//! QOM class properties that a device reads as text.
//!
//! qdev's static `Property` arrays parse in C, into C integers, with C's error messages. A device
//! whose configuration comes from a table of its own wants the user's text instead, and to answer
//! in its own words. `-device`, `-global`, `device_add` and `qom-set` all end up here; they bring
//! strings, JSON numbers or JSON booleans, and all three are turned into the text that one would
//! write on the command line (`on` and `off` for booleans).

use std::ffi::CStr;
use std::os::raw::{c_char, c_void};
use std::ptr::{self, addr_of};

use qemu::bindings::{
    device_add_bootindex_property, g_free, g_string_free, object_class_property_add,
    object_class_property_set_description, object_property_set_description, qdev_prop_string,
    qobject_destroy, qobject_to_json, visit_type_any, visit_type_bool, visit_type_str,
    visit_type_uint64, DeviceClass, Error as CError, Object as CObject, ObjectClass, Property,
    QObject, Visitor,
};
use qemu::{bql_locked, DeviceState, IsA, Object, ObjectType};

use crate::error::Error;
use crate::text::c_text;

/// What reading a property gives.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PropertyValue {
    /// A number.
    Number(u64),
    /// A boolean.
    Bool(bool),
    /// Anything else.
    Text(String),
}

/// Which way a property goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// It can be read.
    Read,
    /// It can be set, which does something; there is nothing to read.
    Write,
    /// Both.
    ReadWrite,
}

/// A device with properties that are known by an index of its own choice.
pub trait TextProperties: ObjectType {
    /// Sets property `index` from text.
    ///
    /// # Errors
    /// One line that names the property, the value and what would be right.
    fn set_property(&self, index: usize, text: &str) -> Result<(), Error>;

    /// Reads property `index`.
    fn property(&self, index: usize) -> PropertyValue;
}

/// Adds a property to the class of `T`.
///
/// `kind` is the type that `-device T,help` and `qom-list` show.
pub fn add_property<T: TextProperties + IsA<Object>>(
    class: &mut ObjectClass,
    name: &str,
    kind: &str,
    description: &str,
    index: usize,
    access: Access,
) {
    let (name, kind, description) = (c_text(name), c_text(kind), c_text(description));
    // SAFETY: class_init time; C copies all strings, and the accessors get back the index, which
    // is not a pointer to anything.
    unsafe {
        object_class_property_add(
            class,
            name.as_ptr(),
            kind.as_ptr(),
            if access == Access::Write {
                None
            } else {
                Some(rust_get::<T>)
            },
            if access == Access::Read {
                None
            } else {
                Some(rust_set::<T>)
            },
            None,
            index as *mut c_void,
        );
        object_class_property_set_description(class, name.as_ptr(), description.as_ptr());
    }
}

/// Has `info qtree` show these properties, which the class has already. For `class_init`: the list lives as long as the
/// class, which is for ever.
///
/// qdev prints what it calls static properties. They are only looked up by name there, so that these need neither a
/// field in the device nor C's own parser.
pub fn show_properties<'a>(class: &mut DeviceClass, names: impl Iterator<Item = &'a str>) {
    let shown = |name: &str| Property {
        name: c_text(name).into_raw(),
        info: addr_of!(qdev_prop_string),
        ..Property::default()
    };
    let list = names.map(shown).collect::<Vec<_>>().leak();
    class.props_ = list.as_ptr();
    class.props_count_ = u16::try_from(list.len()).unwrap_or(0);
}

/// Adds the property `bootindex` to a device: its place in the order in which firmware looks for something to boot
/// from. `suffix` goes behind the device's own part of the path that firmware is given.
///
/// # Safety
/// For `instance_init` of `device`, of which `index` is a field that nothing else writes.
pub unsafe fn add_bootindex<T: IsA<DeviceState>>(
    device: *mut T,
    index: *mut i32,
    suffix: &'static CStr,
) {
    // SAFETY: by this function's contract; the suffix is static, as QEMU keeps the pointer.
    unsafe {
        device_add_bootindex_property(
            device.cast(),
            index,
            c"bootindex".as_ptr(),
            suffix.as_ptr(),
            device.cast(),
        );
        object_property_set_description(
            device.cast(),
            c"bootindex".as_ptr(),
            c"place in the order in which firmware looks for something to boot from; -1 for none"
                .as_ptr(),
        );
    }
}

/// # Safety
/// Called by QOM for an instance of `T` with an input visitor.
unsafe extern "C" fn rust_set<T: TextProperties>(
    obj: *mut CObject,
    visitor: *mut Visitor,
    name: *const c_char,
    opaque: *mut c_void,
    errp: *mut *mut CError,
) {
    assert!(bql_locked());
    // SAFETY: obj is an instance of T; visitor and name are QOM's, valid for the call.
    let result = unsafe {
        let device = &*obj.cast::<T>();
        visited_text(visitor, name).and_then(|text| device.set_property(opaque as usize, &text))
    };
    if let Err(e) = result {
        // SAFETY: errp is QOM's.
        unsafe { e.propagate(errp) };
    }
}

/// # Safety
/// Called by QOM for an instance of `T` with an output visitor.
unsafe extern "C" fn rust_get<T: TextProperties>(
    obj: *mut CObject,
    visitor: *mut Visitor,
    name: *const c_char,
    opaque: *mut c_void,
    errp: *mut *mut CError,
) {
    assert!(bql_locked());
    // SAFETY: obj is an instance of T.
    let value = unsafe { (*obj.cast::<T>()).property(opaque as usize) };
    // SAFETY: an output visitor reads the value through the pointer during the call only.
    unsafe {
        match value {
            PropertyValue::Number(mut n) => {
                visit_type_uint64(visitor, name, &mut n, errp);
            }
            PropertyValue::Bool(mut b) => {
                visit_type_bool(visitor, name, &mut b, errp);
            }
            PropertyValue::Text(text) => {
                let text = c_text(&text);
                let mut start = text.as_ptr().cast_mut();
                visit_type_str(visitor, name, &mut start, errp);
            }
        }
    }
}

/// # Safety
/// `visitor` is an input visitor, and `name` the member to visit, as QOM passes them.
unsafe fn visited_text(visitor: *mut Visitor, name: *const c_char) -> Result<String, Error> {
    // Visitors over QObjects (-device, QMP) can hand out a value of any type; the one over plain
    // strings (-global) has no such method, and C would jump to null.
    // SAFETY: visitor is live; only a field is read.
    let any = unsafe { (*visitor).type_any.is_some() };
    if any {
        let mut value: *mut QObject = ptr::null_mut();
        // SAFETY: value is a valid out parameter; the reference we get is dropped below.
        Error::checked(|errp| unsafe { visit_type_any(visitor, name, &mut value, errp) })?;
        // SAFETY: a reference of ours to a live object.
        unsafe { text_of(value) }
    } else {
        let mut value: *mut c_char = ptr::null_mut();
        // SAFETY: value is a valid out parameter; C allocated the string for us.
        Error::checked(|errp| unsafe { visit_type_str(visitor, name, &mut value, errp) })?;
        if value.is_null() {
            return Err(Error::new("no value"));
        }
        // SAFETY: value is a NUL-terminated string of ours.
        let text = unsafe {
            let text = CStr::from_ptr(value).to_string_lossy().into_owned();
            g_free(value.cast());
            text
        };
        Ok(text)
    }
}

/// The text of a scalar JSON value. Takes over the reference.
///
/// # Safety
/// `value` is null or a reference of the caller's to a live object.
unsafe fn text_of(value: *mut QObject) -> Result<String, Error> {
    if value.is_null() {
        return Err(Error::new("no value"));
    }
    // SAFETY: value is live; the GString is ours, and freeing it with 0 hands us its characters.
    let json = unsafe {
        let chars = g_string_free(qobject_to_json(value), 0);
        let json = CStr::from_ptr(chars).to_string_lossy().into_owned();
        g_free(chars.cast());
        (*value).base.refcnt -= 1;
        if (*value).base.refcnt == 0 {
            qobject_destroy(value);
        }
        json
    };
    scalar_text(&json).ok_or_else(|| {
        Error::new(format!(
            "expected a string, a number or a boolean, not {json}"
        ))
    })
}

/// A JSON string, number or boolean as one writes it on the command line.
fn scalar_text(json: &str) -> Option<String> {
    match json {
        "true" => return Some("on".to_owned()),
        "false" => return Some("off".to_owned()),
        _ => {}
    }
    let Some(quoted) = json.strip_prefix('"') else {
        let number = json.starts_with(|c: char| c == '-' || c.is_ascii_digit());
        return number.then(|| json.to_owned());
    };
    let mut text = String::with_capacity(quoted.len());
    let mut chars = quoted.strip_suffix('"')?.chars();
    while let Some(c) = chars.next() {
        if c != '\\' {
            text.push(c);
            continue;
        }
        text.push(match chars.next()? {
            'n' => '\n',
            't' => '\t',
            'r' => '\r',
            'b' => '\u{8}',
            'f' => '\u{c}',
            'u' => {
                let digits: String = chars.by_ref().take(4).collect();
                let code = u32::from_str_radix(&digits, 16).ok()?;
                // A surrogate stands for half a character: show that something was there.
                char::from_u32(code).unwrap_or(char::REPLACEMENT_CHARACTER)
            }
            other => other,
        });
    }
    Some(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scalars_become_what_one_would_type() {
        for (json, text) in [
            ("true", "on"),
            ("false", "off"),
            ("96", "96"),
            ("-1", "-1"),
            ("\"4K\"", "4K"),
            ("\"a\\\"b\\\\\\u0041\"", "a\"b\\A"),
        ] {
            assert_eq!(scalar_text(json).as_deref(), Some(text), "{json}");
        }
    }

    #[test]
    fn other_values_are_refused() {
        for json in ["null", "{}", "[1]", "\"", ""] {
            assert_eq!(scalar_text(json), None, "{json}");
        }
    }
}
