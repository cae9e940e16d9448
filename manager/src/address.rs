//! Where the manager is: its address for those who start it by script, and which host it shares
//! with whom.

use std::io::Write;
use std::net::SocketAddr;
use std::path::Path;

/// Tells this boot of this machine from every other: two processes that read the same here see the
/// same files, unless a container hides them.
pub fn host_identity() -> String {
    let boot = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
    let name = nix::unistd::gethostname().unwrap_or_default();
    format!("{}/{}", name.to_string_lossy(), boot.trim())
}

/// Writes the address so that a reader never sees half of it.
pub(crate) fn write(file: &Path, address: SocketAddr) -> std::io::Result<()> {
    let mut name = file.as_os_str().to_owned();
    name.push(".new");
    let mut new = std::fs::File::create(&name)?;
    writeln!(new, "{address}")?;
    new.sync_data()?;
    std::fs::rename(&name, file)
}
