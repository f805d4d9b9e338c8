//! Which names are facts: those are gathered when first asked for.

/// Variables that start with `ansible_` but are set by people to say how to connect, never gathered.
const CONNECTION: &[&str] = &[
    "ansible_connection",
    "ansible_host",
    "ansible_password",
    "ansible_port",
    "ansible_private_key_file",
    "ansible_user",
    "ansible_remote_tmp",
    "ansible_python_interpreter",
    "ansible_pipelining",
    "ansible_timeout",
    "ansible_group_priority",
    "ansible_managed",
    "ansible_async_dir",
];

/// Beginnings of such names.
const CONNECTION_STARTS: &[&str] =
    &["ansible_ssh_", "ansible_become", "ansible_shell_", "ansible_sudo_", "ansible_su_", "ansible_paramiko_"];

/// Whether this is a connection variable.
pub fn is_connection_variable(name: &str) -> bool {
    CONNECTION.contains(&name) || CONNECTION_STARTS.iter().any(|start| name.starts_with(start))
}

/// Whether a name that nothing else defines can only be a fact.
pub fn is_fact(name: &str) -> bool {
    name == "ansible_facts" || name == "ansible_local" || name.starts_with("ansible_") && !is_connection_variable(name)
}
