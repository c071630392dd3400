// SPDX-License-Identifier: GPL-2.0-or-later
//! The table as Parquet, without compression: whole numbers, doubles and texts, null where there is none. (A feature: the
//! Python module hands its columns to pyarrow, which has a writer of its own.)

use std::sync::Arc;

use anyhow::Result;
use parquet::basic::{LogicalType, Repetition, Type as Physical};
use parquet::column::writer::ColumnWriter;
use parquet::data_type::ByteArray;
use parquet::file::properties::WriterProperties;
use parquet::file::writer::SerializedFileWriter;
use parquet::schema::types::Type;

use super::table::{Table, Values};

/// The file.
///
/// # Errors
/// None that is known: it is written to memory.
pub fn parquet(table: &Table) -> Result<Vec<u8>> {
    let columns: Vec<(&str, Values)> = table.values().collect();
    let field = |(name, values): &(&str, Values)| {
        let (kind, text) = match values {
            Values::Int(_) => (Physical::INT64, None),
            Values::Float(_) => (Physical::DOUBLE, None),
            Values::Text(_) => (Physical::BYTE_ARRAY, Some(LogicalType::String)),
        };
        let field = Type::primitive_type_builder(name, kind)
            .with_repetition(Repetition::OPTIONAL)
            .with_logical_type(text)
            .build();
        field.map(Arc::new)
    };
    let fields = columns.iter().map(field).collect::<Result<_, _>>()?;
    let schema = Type::group_type_builder("sweep")
        .with_fields(fields)
        .build()?;
    let properties = Arc::new(WriterProperties::builder().build());
    let mut file = SerializedFileWriter::new(Vec::new(), Arc::new(schema), properties)?;
    let mut group = file.next_row_group()?;
    for (_, values) in columns {
        let Some(mut writer) = group.next_column()? else {
            break;
        };
        write(writer.untyped(), values)?;
        writer.close()?;
    }
    group.close()?;
    Ok(file.into_inner()?)
}

/// The fields of a column: which there are, and then their values.
fn write(writer: &mut ColumnWriter<'_>, values: Values) -> Result<()> {
    match (writer, values) {
        (ColumnWriter::Int64ColumnWriter(writer), Values::Int(values)) => {
            let levels = levels(&values);
            let values = Vec::from_iter(values.into_iter().flatten());
            writer.write_batch(&values, Some(&levels), None)?;
        }
        (ColumnWriter::DoubleColumnWriter(writer), Values::Float(values)) => {
            let levels = levels(&values);
            let values = Vec::from_iter(values.into_iter().flatten());
            writer.write_batch(&values, Some(&levels), None)?;
        }
        (ColumnWriter::ByteArrayColumnWriter(writer), Values::Text(values)) => {
            let levels = levels(&values);
            let texts = values.into_iter().flatten();
            let values = Vec::from_iter(texts.map(|text| ByteArray::from(text.as_str())));
            writer.write_batch(&values, Some(&levels), None)?;
        }
        _ => anyhow::bail!("a column of a type that the table has not"),
    }
    Ok(())
}

fn levels<T>(values: &[Option<T>]) -> Vec<i16> {
    values.iter().map(|value| value.is_some().into()).collect()
}

#[cfg(test)]
mod tests {
    use super::super::table::tests::table;
    use super::*;
    use parquet::file::reader::{FileReader as _, SerializedFileReader};
    use parquet::record::Field;

    #[test]
    fn parquet_holds_the_same_with_types() {
        let table = table();
        let bytes = bytes::Bytes::from(parquet(&table).unwrap());
        let reader = SerializedFileReader::new(bytes).unwrap();
        let rows: Vec<_> = reader
            .get_row_iter(None)
            .unwrap()
            .map(Result::unwrap)
            .collect();
        assert_eq!(rows.len(), 3);
        let fields = |row: usize| -> Vec<Field> {
            rows[row]
                .get_column_iter()
                .map(|(_, field)| field.clone())
                .collect()
        };
        let text = |text: &str| Field::Str(text.into());
        assert_eq!(
            fields(0),
            [
                Field::Long(1),
                text("tlc-zoned"),
                text("256K"),
                text("w, x"),
                Field::Long(1),
                text("a"),
                Field::Null,
                Field::Long(7),
                Field::Double(0.1 + 0.2),
            ]
        );
        assert_eq!(
            fields(2)[6..],
            [text("no \"drive\""), Field::Null, Field::Null]
        );
    }
}
