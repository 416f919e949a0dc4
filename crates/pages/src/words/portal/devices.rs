//! Words of *Devices*.

pub const DEVICES_MEASURE: &str = "Devices that measure for you";
pub const DEVICES_MEASURE_TEXT: &str = "What these send is stored in your record, sealed like the rest.";
pub const NO_DEVICES: &str = "No device is connected. The hospital connects one for you.";
pub const DEVICE_SINCE: &str = "Connected";
pub const DEVICE_ENDED: &str = "disconnected";
pub const DEVICE_SENDS: &str = "Sends";
pub const DEVICE_MAKER: &str = "Maker and model";
pub const DEVICE_SERIAL: &str = "Serial number";
pub const DEVICES_RECORDED: &str = "Devices in your record";
pub const DEVICES_RECORDED_TEXT: &str = "Implants, aids and other devices that somebody wrote down.";
pub const PASSKEYS: &str = "Devices that you sign in with";
pub const PASSKEY_MADE: &str = "Made";
pub const PASSKEY_USED: &str = "last used";
pub const PASSKEYS_MANAGE: &str = "Add or remove a passkey";
pub const NO_PASSKEYS: &str = "You have no passkey here; you sign in with your hospital account.";
pub const NOT_FOR_HELPERS: &str = "Only the patient sees this.";

/// What a device measures, by its word.
pub fn measure(word: &str) -> String {
    word.replace('-', " ")
}
