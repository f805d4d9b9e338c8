//! The `mms` command. Everything is in the library; see `mms::cli`.

use std::process::ExitCode;

fn main() -> ExitCode {
    mms::cli::main()
}
