//! The extension itself, linked in.

use std::ffi::{c_char, c_int};
use std::sync::OnceLock;

use rusqlite::auto_extension::{RawAutoExtension, register_auto_extension};
use rusqlite::ffi;

use crate::error::{Error, Kind, Result};

/// Every connection that this process opens from now on knows `vec0`. May be called again.
///
/// # Errors
/// [`Kind::Internal`] if SQLite does not take the extension.
pub(in crate::store::sqlite) fn register() -> Result<()> {
    static REGISTERED: OnceLock<bool> = OnceLock::new();
    match REGISTERED.get_or_init(|| link().is_ok()) {
        true => Ok(()),
        false => Err(Error::new(Kind::Internal, "the sqlite-vec that is linked in could not be registered")),
    }
}

#[allow(unsafe_code)]
fn link() -> rusqlite::Result<()> {
    type Bare = unsafe extern "C" fn();
    type Init =
        unsafe extern "C" fn(*mut ffi::sqlite3, *mut *mut c_char, *const ffi::sqlite3_api_routines) -> c_int;
    // SAFETY: the crate declares `sqlite3_vec_init` without its parameters; sqlite-vec.c defines it with exactly those
    // of `Init`, which is what SQLite calls. It neither opens nor closes connections nor touches the list of extensions.
    unsafe {
        let init: RawAutoExtension = std::mem::transmute::<Bare, Init>(sqlite_vec::sqlite3_vec_init);
        register_auto_extension(init)
    }
}
