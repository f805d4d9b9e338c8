//! Arguments that every verb has.

use std::path::PathBuf;
use std::time::Duration;

use clap::builder::{PossibleValuesParser, TypedValueParser as _};
use clap::{ArgAction, Args};

use crate::connection::BecomeMethod;
use crate::settings::{Color, Given};

const CONNECTION: &str = "Connection";
const OUTPUT: &str = "Output";

/// Arguments that every verb has.
#[derive(Debug, Clone, Default, Args)]
pub struct Global {
    /// Work on the project in this directory instead of the one around the current directory
    #[arg(long, global = true, value_name = "DIR")]
    pub project: Option<PathBuf>,
    /// Inventory file, directory or comma-separated list of hosts (can be repeated)
    #[arg(short, long, global = true, value_name = "INVENTORY")]
    pub inventory: Vec<String>,
    /// Log in as this user
    #[arg(short = 'u', long = "user", global = true, help_heading = CONNECTION, value_name = "USER")]
    pub user: Option<String>,
    /// Log in with this SSH key
    #[arg(long, global = true, help_heading = CONNECTION, value_name = "FILE")]
    pub private_key: Option<PathBuf>,
    /// Ask for the login password
    #[arg(short = 'k', long, global = true, help_heading = CONNECTION)]
    pub ask_pass: bool,
    /// Become another user (root unless --become-user says otherwise)
    #[arg(short = 'b', long = "become", global = true, help_heading = CONNECTION)]
    pub r#become: bool,
    /// The user to become
    #[arg(long, global = true, help_heading = CONNECTION, value_name = "USER")]
    pub become_user: Option<String>,
    /// How to become it
    #[arg(long, global = true, help_heading = CONNECTION, value_name = "METHOD", value_parser = PossibleValuesParser::new(METHODS).map(method))]
    pub become_method: Option<BecomeMethod>,
    /// Ask for the password to become it
    #[arg(short = 'K', long, global = true, help_heading = CONNECTION)]
    pub ask_become_pass: bool,
    /// Accept and remember host keys that were never seen; changed ones are refused all the same
    #[arg(long, global = true, help_heading = CONNECTION)]
    pub accept_new: bool,
    /// Seconds that connecting and logging in may take
    #[arg(long, global = true, help_heading = CONNECTION, value_name = "SECONDS")]
    pub timeout: Option<u64>,
    /// File with the age identity or SSH key that opens the vault (can be repeated)
    #[arg(long, global = true, value_name = "FILE")]
    pub identity: Vec<PathBuf>,
    /// Say more: -v unchanged tasks, -vv results, -vvv also what is skipped and why
    #[arg(short, long, global = true, help_heading = OUTPUT, action = ArgAction::Count)]
    pub verbose: u8,
    /// Write JSON, one object per line, for scripts
    #[arg(long, global = true, help_heading = OUTPUT)]
    pub json: bool,
    /// When colours are used
    #[arg(long, global = true, help_heading = OUTPUT, value_name = "WHEN")]
    pub color: Option<Color>,
}

impl Global {
    /// What the command line says about settings.
    pub fn given(&self) -> Given {
        let absolute = |path: &PathBuf| std::path::absolute(path).unwrap_or_else(|_| path.clone());
        Given {
            inventory: (!self.inventory.is_empty()).then(|| self.inventory.clone()),
            remote_user: self.user.clone(),
            private_key: self.private_key.as_ref().map(absolute),
            timeout: self.timeout.map(Duration::from_secs),
            accept_new: self.accept_new.then_some(true),
            become_enabled: self.r#become.then_some(true),
            become_user: self.become_user.clone(),
            become_method: self.become_method,
            color: self.color,
            identities: (!self.identity.is_empty()).then(|| self.identity.iter().map(absolute).collect()),
            ..Given::default()
        }
    }
}

const METHODS: [&str; 3] = ["sudo", "su", "doas"];

/// One of [`METHODS`].
fn method(name: String) -> BecomeMethod {
    match name.as_str() {
        "su" => BecomeMethod::Su,
        "doas" => BecomeMethod::Doas,
        _ => BecomeMethod::Sudo,
    }
}
