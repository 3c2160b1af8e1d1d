//! Many sandboxes on one machine.
