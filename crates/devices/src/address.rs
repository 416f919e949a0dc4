//! Where a device sends to: its MQTT topic and its HTTP path. Both name the device, so that a broker or a reverse proxy
//! can hold it to its own.

use crate::enrolment::{DeviceId, EnrolmentError};

/// The subscription that covers the topics of all devices.
pub const TOPIC_FILTER: &str = "sealwort/devices/+/measurements";

/// The topic on which a device publishes its measurements.
pub fn topic_of(device: &DeviceId) -> String {
    format!("sealwort/devices/{device}/measurements")
}

/// The device of a topic. Nothing else has this form: no empty level, no wildcard, nothing before or behind.
///
/// # Errors
/// [`EnrolmentError::DeviceId`].
pub fn device_of_topic(topic: &str) -> Result<DeviceId, EnrolmentError> {
    between(topic, "sealwort/devices/")
}

/// The path to which a device posts its measurements.
pub fn path_of(device: &DeviceId) -> String {
    format!("/devices/{device}/measurements")
}

/// The device of a path, which is not percent-encoded: an id needs no encoding.
///
/// # Errors
/// [`EnrolmentError::DeviceId`].
pub fn device_of_path(path: &str) -> Result<DeviceId, EnrolmentError> {
    between(path, "/devices/")
}

fn between(text: &str, before: &str) -> Result<DeviceId, EnrolmentError> {
    let id = text.strip_prefix(before).and_then(|rest| rest.strip_suffix("/measurements"));
    id.ok_or(EnrolmentError::DeviceId)?.parse()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_lead_back_to_their_device_and_nothing_else_does() {
        let device: DeviceId = "oxi-7".parse().unwrap();
        assert_eq!(device_of_topic(&topic_of(&device)).unwrap(), device);
        assert_eq!(device_of_path(&path_of(&device)).unwrap(), device);
        for wrong in [
            "",
            "sealwort/devices//measurements",
            "sealwort/devices/+/measurements",
            "sealwort/devices/#",
            "sealwort/devices/a/b/measurements",
            "/sealwort/devices/a/measurements",
            "sealwort/devices/a/measurements/",
            "sealwort/devices/a/Measurements",
            "sealwort/devices/A/measurements",
            "sealwort/devices/../measurements",
            "/devices//measurements",
            "/devices/%61/measurements",
            "/devices/a/measurements?x=1",
            "devices/a/measurements",
        ] {
            assert!(device_of_topic(wrong).is_err(), "{wrong}");
            assert!(device_of_path(wrong).is_err(), "{wrong}");
        }
    }
}
