//! What a rewrite may write to: SQLite itself refuses to prepare any other statement.

use rusqlite::Connection;
use rusqlite::hooks::{AuthAction, AuthContext, Authorization};

use super::stamp;
use crate::error::Result;
use crate::store::sql::Doing;

/// Tables that a switch changes. Ids, texts, metadata and full-text entries are in others.
const WRITABLE: [&str; 6] =
    ["collections", "segments", "segment_metadata", "max_seq_id", "embeddings_queue", stamp::TABLE];

/// From now on `connection` can write to the tables of the switch alone.
pub(super) fn install(connection: &mut Connection) -> Result<()> {
    connection.authorizer(Some(decide)).doing("guard the texts")
}

fn decide(context: AuthContext<'_>) -> Authorization {
    let allowed = match context.action {
        AuthAction::Insert { table_name }
        | AuthAction::Update { table_name, .. }
        | AuthAction::Delete { table_name } => {
            // Creating the stamp's table writes to SQLite's own.
            WRITABLE.contains(&table_name) || table_name.starts_with("sqlite_")
        }
        AuthAction::CreateTable { table_name } => table_name == stamp::TABLE,
        AuthAction::Pragma { pragma_value, .. } => pragma_value.is_none(),
        AuthAction::Select
        | AuthAction::Read { .. }
        | AuthAction::Function { .. }
        | AuthAction::Recursive
        | AuthAction::CreateIndex { table_name: stamp::TABLE, .. }
        | AuthAction::Transaction { .. }
        | AuthAction::Savepoint { .. } => true,
        _ => false,
    };
    if allowed { Authorization::Allow } else { Authorization::Deny }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_and_metadata_cannot_be_written() {
        let mut connection = Connection::open_in_memory().unwrap();
        let tables = "CREATE TABLE embeddings (id INTEGER); CREATE TABLE embedding_metadata (id INTEGER);
            CREATE TABLE segments (id TEXT); INSERT INTO embeddings VALUES (1)";
        connection.execute_batch(tables).unwrap();
        install(&mut connection).unwrap();
        for refused in [
            "DELETE FROM embeddings",
            "UPDATE embeddings SET id = 2",
            "INSERT INTO embedding_metadata VALUES (1)",
            "DROP TABLE embedding_metadata",
            "ALTER TABLE embeddings RENAME TO segments2",
            "CREATE TRIGGER t AFTER UPDATE ON segments BEGIN DELETE FROM embeddings; END",
            "ATTACH ':memory:' AS other",
            "PRAGMA writable_schema = ON",
        ] {
            assert!(connection.execute_batch(refused).is_err(), "{refused}");
        }
        connection
            .execute_batch("BEGIN; INSERT INTO segments VALUES ('a'); SAVEPOINT s; RELEASE s; COMMIT")
            .unwrap();
        let left: i64 =
            connection.query_row("SELECT count(*) FROM embeddings", [], |row| row.get(0)).unwrap();
        assert_eq!(left, 1);
    }
}
