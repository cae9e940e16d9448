//! Who and where we are, as the manager is told, and whether our paths are the manager's paths.

use manager::host_identity;
use nix::unistd::{Uid, User};
use proto::wire::{Delivery, InfoReply};

/// The name of the user that submits: of the account, else its number.
pub fn user() -> String {
    let uid = Uid::effective();
    match User::from_uid(uid) {
        Ok(Some(user)) => user.name,
        Ok(None) | Err(_) => uid.to_string(),
    }
}

/// Outputs are written straight into the directory when the manager is on this machine under this
/// user; otherwise it keeps them until they are fetched.
pub fn delivery(manager: &InfoReply) -> Delivery {
    let here = manager.host == host_identity() && manager.uid == Uid::effective().as_raw();
    if here {
        Delivery::Write
    } else {
        Delivery::Keep
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_our_own_user_and_machine_write() {
        let here = InfoReply {
            host: host_identity(),
            uid: Uid::effective().as_raw(),
            ..InfoReply::default()
        };
        assert_eq!(delivery(&here), Delivery::Write);
        let elsewhere = InfoReply {
            host: "x".to_owned(),
            ..here.clone()
        };
        assert_eq!(delivery(&elsewhere), Delivery::Keep);
        let other = InfoReply {
            uid: here.uid.wrapping_add(1),
            ..here
        };
        assert_eq!(delivery(&other), Delivery::Keep);
    }
}
