//! Rewrites and ways back of small tables, made and read by the extension that is linked in.

use ndarray::Array2;
use rusqlite::types::Value;
use rusqlite::{Connection, params};

use super::testing::*;
use super::*;
use crate::store::Metric;
use crate::store::sqlite::sink::Contents;

/// Values of all columns but one, through the extension.
fn others(connection: &Connection, name: &str) -> Vec<String> {
    let (entry, _) = found(connection, name);
    let vectors = entries(connection).unwrap();
    let more = vectors.iter().filter(|(e, _)| e.table == entry.table && e.vector != entry.vector);
    let columns: Vec<String> =
        [entry.key.clone(), entry.others.clone(), more.map(|(e, _)| e.vector.clone()).collect()].concat();
    let sql = format!("SELECT {} FROM {}", crate::store::sqlite::entry::list(&columns), entry.table_name());
    let mut statement = connection.prepare(&sql).unwrap();
    let rows = statement.query_map([], |row| {
        Ok(format!("{:?}", (0..columns.len()).map(|at| row.get_ref(at).unwrap()).collect::<Vec<_>>()))
    });
    rows.unwrap().map(Result::unwrap).collect()
}

/// Rewrites a table to several dimensions; each time what the extension then reads, finds and takes in is checked, and
/// both ways back.
fn round_trips(connection: &Connection, name: &str, dimensions: &[usize]) {
    let before = everything(connection);
    let (entry, holder) = found(connection, name);
    assert_eq!(entry.unsupported, None);
    for &dimension in dimensions {
        assert_eq!(holder.obstacle(connection, &entry, dimension).unwrap(), None);
        let source = read(connection, name, 7);
        let kept = others(connection, name);
        assert_eq!(holder.count(connection).unwrap(), source.len() as u64);
        connection.execute_batch("BEGIN IMMEDIATE").unwrap();
        let saved = rewrite(connection, name, dimension).unwrap();
        assert_eq!(found(connection, name).0.dimension, Some(dimension));
        assert_eq!(others(connection, name), kept);
        let target = read(connection, name, 5);
        let ids = |rows: &[(String, Vec<f32>, Option<String>)]| {
            rows.iter().map(|(id, _, text)| (id.clone(), text.clone())).collect::<Vec<_>>()
        };
        assert_eq!(ids(&target), ids(&source), "{name}");
        for ((_, from, _), (_, to, _)) in source.iter().zip(&target) {
            let row = Array2::from_shape_vec((1, from.len()), from.clone()).unwrap();
            let mut wanted = Vec::new();
            let (value, _) = holder.element.encoding().encode(mapped(&row, dimension).as_slice().unwrap());
            holder.element.encoding().decode((&value).into(), None, &mut wanted).unwrap();
            assert_eq!(*to, wanted);
        }
        let plain: Vec<_> = target.iter().map(|(id, vector, _)| (id.clone(), vector.clone())).collect();
        assert_eq!(sorted(&through_extension(connection, name)), sorted(&plain));
        check_noted(connection, name, &saved);
        connection.execute_batch("ROLLBACK").unwrap();
        assert_eq!(everything(connection), before, "rolled back");
        assert_eq!(read(connection, name, 100), source, "rolled back");
        assert!(!through_extension(connection, name).is_empty());

        connection.execute_batch("BEGIN IMMEDIATE").unwrap();
        let again = rewrite(connection, name, dimension).unwrap();
        connection.execute_batch("COMMIT").unwrap();
        assert_eq!(again.digest, saved.digest);
        load(connection, again.rows.path());
        let now = found(connection, name);
        connection.execute_batch("BEGIN IMMEDIATE").unwrap();
        now.1.restore(connection, &now.0, false).unwrap();
        assert_eq!(everything(connection), before, "only the vectors");
        connection.execute_batch("ROLLBACK; BEGIN IMMEDIATE").unwrap();
        let (table, key) = (entry.table_name(), entry.key_columns());
        connection.execute(&format!("DELETE FROM {table} WHERE {key} IN (1, 5) OR {key} > 24"), []).unwrap();
        now.1.restore(connection, &now.0, true).unwrap();
        assert_eq!(everything(connection), before, "records went");
        connection.execute_batch("ROLLBACK; BEGIN IMMEDIATE").unwrap();
        connection.execute_batch(&format!("DROP TABLE {}", entry.table_name())).unwrap();
        now.1.restore(connection, &now.0, true).unwrap();
        assert_eq!(everything(connection), before, "the table went");
        connection.execute_batch("COMMIT").unwrap();
        assert_eq!(read(connection, name, 100), source, "the way back");
        assert_eq!(everything(connection), before);
    }
    let intact: String = connection.query_row("PRAGMA integrity_check", [], |row| row.get(0)).unwrap();
    assert_eq!(intact, "ok");
}

/// What was noted is what a reader through the extension finds.
fn check_noted(connection: &Connection, name: &str, saved: &Saved) {
    use crate::store::sqlite::sink::hash_values;
    let (entry, _) = found(connection, name);
    let columns = [entry.key.clone(), vec![entry.vector.clone()], entry.others.clone()].concat();
    let list = crate::store::sqlite::entry::list;
    let order = entry.key_columns();
    let sql = format!("SELECT {} FROM {} ORDER BY {order}", list(&columns), entry.table_name());
    let mut statement = connection.prepare(&sql).unwrap();
    let mut rows = statement.query([]).unwrap();
    let (mut count, mut texts, mut look) = (0, Vec::new(), |_: &str, _: &str| {});
    let mut contents = Contents::new(&mut look);
    while let Some(row) = rows.next().unwrap() {
        let key: Value = row.get(0).unwrap();
        let values: Vec<_> = (2..columns.len()).map(|at| row.get_ref(at).unwrap()).collect();
        let sql = "SELECT contents, vector FROM written WHERE key = ?1";
        let noted: ([u8; 16], [u8; 16]) =
            saved.written.query_row(sql, [&key], |row| Ok((row.get(0)?, row.get(1)?))).unwrap();
        let id = match key {
            Value::Integer(id) => id.to_string(),
            Value::Text(id) => id,
            other => panic!("{other:?}"),
        };
        let text = entry.text_column.as_ref().and_then(|text| {
            let at = columns.iter().position(|column| column == text).unwrap();
            row.get_ref(at).unwrap().as_str().ok().map(str::to_owned)
        });
        texts.extend(text.map(|text| (id.clone(), text)));
        assert_eq!(
            noted,
            (contents.record(&id, None, &values), hash_values(std::iter::once(row.get_ref(1).unwrap())))
        );
        count += 1;
    }
    assert_eq!(contents.finish(), saved.digest);
    assert_eq!(texts, saved.texts);
    let noted: i64 = saved.written.query_row("SELECT count(*) FROM written", [], |row| row.get(0)).unwrap();
    assert_eq!(noted, count);
}

#[test]
fn plain_tables_go_up_and_down_and_stay() {
    let connection = open();
    connection.execute_batch("CREATE VIRTUAL TABLE v USING vec0(e float[6], chunk_size=8)").unwrap();
    fill(&connection, "v", "rowid, e", &|row| vec![row.into(), blob(row, 6).into()]);
    round_trips(&connection, "v", &[6, 9, 1, 2, 100]);
}

#[test]
fn every_kind_of_column_stays() {
    let connection = open();
    connection
        .execute_batch(
            "CREATE VIRTUAL TABLE \"a \"\"odd\"\" name\" USING VEC0(
                 id integer primary key, user_id text partition key, -- who, ok
                 year int, e float[ 6 ] distance_metric=cosine, ok bool, score float, /* a, b */ title text,
                 +contents text, second int8[4], +raw blob, region integer partition key, chunk_size = 8)",
        )
        .unwrap();
    let table = "\"a \"\"odd\"\" name\"";
    for row in 1..=60_i64 {
        let title =
            if row % 3 == 0 { "a title that is longer than twelve bytes".into() } else { format!("t{row}") };
        let text = (row % 4 != 0).then(|| format!("text {row}"));
        let second: Vec<u8> = (0..4).map(|at| (row * 3 + at) as u8).collect();
        connection
            .execute(
                &format!(
                    "INSERT INTO {table} (id, user_id, year, e, ok, score, title, contents, second, raw, region)
                     VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, vec_int8(?9), ?10, ?11)"
                ),
                params![
                    row * 3 - 40,
                    format!("user {}", row % 3),
                    row + 1900,
                    blob(row, 6),
                    row % 2,
                    row as f64 / 7.0,
                    title,
                    text,
                    second,
                    vec![row as u8; 3],
                    row % 2
                ],
            )
            .unwrap();
    }
    for row in [5, 8, 20, 59, 60] {
        connection.execute(&format!("DELETE FROM {table} WHERE id = ?1"), [row * 3 - 40]).unwrap();
    }
    let (entry, _) = found(&connection, "a \"odd\" name.e");
    assert_eq!(entry.text_column.as_deref(), Some("contents"));
    assert_eq!((entry.metric, entry.key.as_slice()), (Metric::Cosine, ["id".to_owned()].as_slice()));
    assert_eq!(entry.others, ["user_id", "year", "ok", "score", "title", "contents", "raw", "region"]);
    round_trips(&connection, "a \"odd\" name.e", &[6, 12, 3]);
    round_trips(&connection, "a \"odd\" name.second", &[4, 7]);
}

#[test]
fn text_keys_name_the_records() {
    let connection = open();
    connection
        .execute_batch(
            "CREATE VIRTUAL TABLE v USING vec0(id text primary key, e float[4], body text, chunk_size=8)",
        )
        .unwrap();
    for row in 1..=30 {
        let id = format!("key {}", (row * 17) % 31);
        let sql = "INSERT INTO v (id, e, body) VALUES (?1, ?2, ?3)";
        connection.execute(sql, params![id, blob(row, 4), "b\u{f6}dy ".repeat(row as usize % 4)]).unwrap();
    }
    connection.execute_batch("DELETE FROM v WHERE id IN ('key 3', 'key 17')").unwrap();
    let (entry, _) = found(&connection, "v");
    assert_eq!(
        (entry.key.as_slice(), entry.text_column.as_deref()),
        (["id".to_owned()].as_slice(), Some("body"))
    );
    let rows = read(&connection, "v", 3);
    // The first two rows are gone.
    let (id, vector, text) = rows.first().unwrap();
    assert_eq!(
        (id.as_str(), vector.len(), text.as_deref()),
        ("key 20", 4, Some("b\u{f6}dy b\u{f6}dy b\u{f6}dy "))
    );
    let before = everything(&connection);
    connection.execute_batch("BEGIN IMMEDIATE").unwrap();
    let saved = rewrite(&connection, "v", 11).unwrap();
    check_noted(&connection, "v", &saved);
    connection.execute_batch("DELETE FROM v WHERE id > 'key 2'").unwrap();
    connection.execute("INSERT INTO v (id, e, body) VALUES ('new', ?1, 'x')", [blob(1, 11)]).unwrap();
    connection.execute_batch("COMMIT").unwrap();
    load(&connection, saved.rows.path());
    let (entry, holder) = found(&connection, "v");
    holder.restore(&connection, &entry, true).unwrap();
    assert_eq!(everything(&connection), before);
}

#[test]
fn small_numbers_and_bits_keep_their_encoding() {
    let connection = open();
    connection
        .execute_batch(
            "CREATE VIRTUAL TABLE small USING vec0(e int8[5], chunk_size=8);
             CREATE VIRTUAL TABLE bits USING vec0(e bit[16], chunk_size=8)",
        )
        .unwrap();
    for row in 1..=20_i64 {
        let five: Vec<u8> = (0..5).map(|at| (row * 29 + at * 31) as u8).collect();
        let two: Vec<u8> = (0..2).map(|at| (row * 37 + at * 11) as u8).collect();
        connection
            .execute("INSERT INTO small (rowid, e) VALUES (?1, vec_int8(?2))", params![row, five])
            .unwrap();
        connection
            .execute("INSERT INTO bits (rowid, e) VALUES (?1, vec_bit(?2))", params![row, two])
            .unwrap();
    }
    connection
        .execute_batch("DELETE FROM small WHERE rowid = 3; DELETE FROM bits WHERE rowid BETWEEN 9 AND 16")
        .unwrap();
    round_trips(&connection, "small", &[5, 9, 2]);
    round_trips(&connection, "bits", &[16, 8, 64]);
    connection
        .execute_batch("CREATE TRIGGER seen AFTER UPDATE ON bits_vector_chunks00 BEGIN SELECT 1; END")
        .unwrap();
    let (entry, holder) = found(&connection, "bits");
    assert!(holder.obstacle(&connection, &entry, 8).unwrap().is_some_and(|why| why.contains("`seen`")));
    assert!(
        holder.obstacle(&connection, &entry, 12).unwrap().is_some_and(|why| why.contains("multiples of 8"))
    );
    assert!(holder.obstacle(&connection, &entry, 8200).unwrap().is_some_and(|why| why.contains("8192")));
}

#[test]
fn the_nearest_that_the_extension_finds_are_the_nearest() {
    let connection = open();
    connection.execute_batch("CREATE VIRTUAL TABLE v USING vec0(e float[6], chunk_size=8)").unwrap();
    fill(&connection, "v", "rowid, e", &|row| vec![row.into(), blob(row, 6).into()]);
    connection.execute_batch("BEGIN").unwrap();
    rewrite(&connection, "v", 10).unwrap();
    connection.execute_batch("COMMIT").unwrap();
    connection.execute("INSERT INTO v (rowid, e) VALUES (99, ?1)", [blob(99, 10)]).unwrap();
    let refused = connection.execute("INSERT INTO v (rowid, e) VALUES (98, ?1)", [blob(98, 6)]);
    assert!(refused.unwrap_err().to_string().contains("Expected 10 dimensions"));
    let rows = read(&connection, "v", 4);
    assert!(rows.iter().any(|(id, ..)| id == "99"));
    let query: Vec<f32> = (0..10).map(|at| component(44, at)).collect();
    let mut nearest: Vec<(f32, i64)> = rows
        .iter()
        .map(|(id, vector, _)| {
            let squares = vector.iter().zip(&query).map(|(a, b)| (a - b) * (a - b));
            (squares.sum(), id.parse().unwrap())
        })
        .collect();
    nearest.sort_by(|a, b| a.0.total_cmp(&b.0));
    let wanted: Vec<i64> = nearest.iter().take(5).map(|(_, id)| *id).collect();
    let mut statement =
        connection.prepare("SELECT rowid FROM v WHERE e MATCH ?1 AND k = 5 ORDER BY distance").unwrap();
    let found = statement.query_map([blob(44, 10)], |row| row.get(0)).unwrap();
    assert_eq!(found.map(Result::unwrap).collect::<Vec<i64>>(), wanted);
}
