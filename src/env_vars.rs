//! Every environment variable that is a setting of mms. The documentation is generated from [`ALL`].

/// An environment variable.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EnvVar {
    /// Its name.
    pub name: &'static str,
    /// Ansible's variable with the same meaning, read when `name` is not set.
    pub ansible: Option<&'static str>,
    /// What it does, in one sentence.
    pub help: &'static str,
}

macro_rules! env_vars {
    ($($constant:ident = $name:literal $(or $ansible:literal)?, $help:literal;)*) => {
        $(
            #[doc = $help]
            pub const $constant: EnvVar = EnvVar {
                name: $name,
                ansible: env_vars!(@option $($ansible)?),
                help: $help,
            };
        )*

        /// All of them, in the order of the documentation.
        pub const ALL: &[EnvVar] = &[$($constant),*];
    };
    (@option) => { None };
    (@option $ansible:literal) => { Some($ansible) };
}

env_vars! {
    INVENTORY = "MMS_INVENTORY" or "ANSIBLE_INVENTORY", "Inventory files, directories or host lists, separated by commas.";
    ROLES_PATH = "MMS_ROLES_PATH" or "ANSIBLE_ROLES_PATH", "Directories in which roles are searched, separated by colons.";
    FORKS = "MMS_FORKS" or "ANSIBLE_FORKS", "How many hosts are worked on at the same time.";
    LOCK_TIMEOUT = "MMS_LOCK_TIMEOUT", "How many seconds another run on the same host is waited for.";
    DIFF = "MMS_DIFF" or "ANSIBLE_DIFF_ALWAYS", "Whether differences are shown.";
    COLOR = "MMS_COLOR", "When colours are used: `auto`, `always` or `never`.";
    NO_COLOR = "NO_COLOR" or "ANSIBLE_NOCOLOR", "Turns colours off when it is set to anything.";
    FORCE_COLOR = "CLICOLOR_FORCE" or "ANSIBLE_FORCE_COLOR", "Turns colours on when it is set to anything but 0.";
    REMOTE_USER = "MMS_REMOTE_USER" or "ANSIBLE_REMOTE_USER", "The user to log in as.";
    PRIVATE_KEY = "MMS_PRIVATE_KEY" or "ANSIBLE_PRIVATE_KEY_FILE", "The SSH key to log in with.";
    TIMEOUT = "MMS_TIMEOUT" or "ANSIBLE_TIMEOUT", "How many seconds connecting and logging in may take.";
    ACCEPT_NEW = "MMS_ACCEPT_NEW", "Whether host keys that were never seen are accepted and remembered.";
    HOST_KEY_CHECKING = "ANSIBLE_HOST_KEY_CHECKING", "`false` means the same as `MMS_ACCEPT_NEW=true`: changed host keys are refused all the same.";
    BECOME = "MMS_BECOME" or "ANSIBLE_BECOME", "Whether tasks run as another user.";
    BECOME_USER = "MMS_BECOME_USER" or "ANSIBLE_BECOME_USER", "The user to become.";
    BECOME_METHOD = "MMS_BECOME_METHOD" or "ANSIBLE_BECOME_METHOD", "How to become another user: `sudo`, `su` or `doas`.";
    IDENTITY = "MMS_AGE_IDENTITY", "Files with age or SSH identities that open the vault, separated by colons.";
    RECIPIENTS = "MMS_RECIPIENTS", "age or SSH public keys that the vault is encrypted for, separated by commas.";
    PROXMOX_HOST = "PROXMOX_HOST", "The Proxmox VE host whose API is asked for snapshots, when `proxmox_api_host` is not set.";
    PROXMOX_PORT = "PROXMOX_PORT", "Its port, when `proxmox_api_port` is not set.";
    PROXMOX_USER = "PROXMOX_USER", "The user that the token belongs to, when `proxmox_api_user` is not set.";
    PROXMOX_TOKEN_ID = "PROXMOX_TOKEN_ID", "The name of the token, when `proxmox_api_token_id` is not set.";
    PROXMOX_TOKEN_SECRET = "PROXMOX_TOKEN_SECRET", "The secret of the token, when `proxmox_api_token_secret` is not set.";
    PROXMOX_VALIDATE_CERTS = "PROXMOX_VALIDATE_CERTS", "Whether its certificate is verified, when `proxmox_validate_certs` is not set.";
    PROXMOX_CA_PATH = "PROXMOX_CA_PATH", "A file with the certificate authority that is trusted there, when `proxmox_ca_path` is not set.";
    PROXMOX_FINGERPRINT = "PROXMOX_FINGERPRINT", "The SHA-256 fingerprint of its certificate, when `proxmox_fingerprint` is not set.";
}
