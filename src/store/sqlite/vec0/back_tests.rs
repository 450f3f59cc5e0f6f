//! The way back of tables that older releases made, and of those that have gone on.

use super::testing::*;
use super::*;

#[test]
fn tables_of_the_first_release_have_no_info_and_stay_so() {
    let connection = open();
    connection.execute_batch("CREATE VIRTUAL TABLE v USING vec0(e float[4], chunk_size=8)").unwrap();
    fill(&connection, "v", "rowid, e", &|row| vec![row.into(), blob(row, 4).into()]);
    connection.execute_batch("DROP TABLE v_info").unwrap();
    let before = everything(&connection);
    connection.execute_batch("BEGIN").unwrap();
    let saved = rewrite(&connection, "v", 6).unwrap();
    connection.execute_batch("COMMIT").unwrap();
    assert_eq!(read(&connection, "v", 4).len(), through_extension(&connection, "v").len());
    load(&connection, saved.rows.path());
    let (entry, holder) = found(&connection, "v");
    holder.restore(&connection, &entry, true).unwrap();
    assert_eq!(everything(&connection), before);
    connection
        .execute_batch("CREATE TABLE v_info (x); DROP TABLE v; CREATE VIRTUAL TABLE v USING vec0(f bit[8])")
        .unwrap();
    holder.restore(&connection, &entry, true).unwrap();
    assert_eq!(everything(&connection), before, "another table had taken the name");
}

#[test]
fn one_column_goes_back_while_another_has_gone_on() {
    let connection = open();
    connection
        .execute_batch("CREATE VIRTUAL TABLE v USING vec0(a float[4], b float[3], chunk_size=8)")
        .unwrap();
    fill(&connection, "v", "rowid, a, b", &|row| vec![row.into(), blob(row, 4).into(), blob(-row, 3).into()]);
    let source = read(&connection, "v.a", 10);
    connection.execute_batch("BEGIN").unwrap();
    let saved = rewrite(&connection, "v.a", 6).unwrap();
    rewrite(&connection, "v.b", 5).unwrap();
    connection.execute_batch("COMMIT").unwrap();
    let gone_on = read(&connection, "v.b", 10);
    load(&connection, saved.rows.path());
    let (entry, holder) = found(&connection, "v.a");
    holder.restore(&connection, &entry, false).unwrap();
    assert_eq!(read(&connection, "v.a", 10), source);
    assert_eq!(read(&connection, "v.b", 10), gone_on);
    assert_eq!(through_extension(&connection, "v.b").len(), gone_on.len());
}
