//! Versions, as images and packages write them.

use crate::service::Service;

/// The last part of an image's name, without tag and digest.
pub(super) fn image_name(image: &str) -> Option<String> {
    let image = image.split('@').next()?;
    let last = image.rsplit('/').next()?;
    Some(last.split(':').next()?.to_owned()).filter(|name| !name.is_empty())
}

/// The tag of an image.
pub(super) fn image_tag(image: &str) -> Option<&str> {
    let last = image.split('@').next()?.rsplit('/').next()?;
    last.split_once(':').map(|(_, tag)| tag)
}

/// The numbers that a version begins with: `v1.119.0-ls3` is 1, 119, 0.
pub fn numbers(version: &str) -> Vec<u64> {
    // Debian's versions may begin with an epoch.
    let version = version.rsplit_once(':').map_or(version, |(_, version)| version);
    let start = version.trim_start_matches(|c: char| !c.is_ascii_digit());
    let end = start.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(start.len());
    start.get(..end).unwrap_or_default().split('.').map_while(|part| part.parse().ok()).collect()
}

/// Whether a version there is newer than the one here, as far as both tell.
pub fn is_newer(there: &str, here: &str) -> bool {
    let (there, here) = (numbers(there), numbers(here));
    there.len() > 1
        && here.len() > 1
        && there.iter().zip(&here).find(|(one, two)| one != two).is_some_and(|(one, two)| one > two)
}

/// The version of a service's image here.
pub fn version_here(service: &Service) -> Option<String> {
    service.containers.values().next().and_then(|container| image_tag(&container.image)).map(str::to_owned)
}
