//! What a device is given when it is enrolled: where to send, and as whom. It holds the secret, so it is shown once and
//! kept by nobody; the enrolment keeps the hash.

use serde_json::json;

use crate::address::{path_of, topic_of};
use crate::enrolment::{DeviceId, DeviceSecret};
use crate::own::OWN_FORMAT;

/// Where the gateway listens for devices.
#[derive(Clone, Debug)]
pub struct DeviceEndpoints {
    /// The base of the HTTPS endpoint, without a slash at its end: `https://gateway.example:8443`.
    pub https: Option<String>,
    /// The broker: `mqtts://broker.example:8883`.
    pub mqtt: Option<String>,
}

/// The credentials as JSON, for the device's software. User name and password are the same for MQTT and for HTTP's
/// Basic scheme (RFC 7617).
pub fn credentials(device: &DeviceId, secret: &DeviceSecret, endpoints: &DeviceEndpoints) -> String {
    let mut out = json!({
        "device": device.as_str(),
        "username": device.as_str(),
        "password": secret.password(),
        "format": OWN_FORMAT,
    });
    if let Some(base) = &endpoints.https {
        crate::observation::put(
            &mut out,
            "https",
            json!({"method": "POST", "url": format!("{base}{}", path_of(device))}),
        );
    }
    if let Some(broker) = &endpoints.mqtt {
        let mqtt = json!({"broker": broker, "client_id": device.as_str(), "topic": topic_of(device), "qos": 1});
        crate::observation::put(&mut out, "mqtt", mqtt);
    }
    format!("{out:#}")
}

/// The pairing code, as text to show or to put into a QR code: the URL to post to, with the secret as its fragment,
/// which no client sends (RFC 9110, section 4.2.3).
pub fn pairing_code(device: &DeviceId, secret: &DeviceSecret, https_base: &str) -> String {
    format!("{https_base}{}#{}", path_of(device), secret.password())
}

/// Takes a pairing code apart: the URL without its fragment, the device and its secret.
pub fn read_pairing_code(code: &str) -> Option<(&str, DeviceId, DeviceSecret)> {
    let (url, password) = code.split_once('#')?;
    let (_, rest) = url.split_once("/devices/")?;
    let device = rest.strip_suffix("/measurements")?.parse().ok()?;
    Some((url, device, DeviceSecret::from_password(password)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn credentials_name_what_the_device_needs() {
        let device: DeviceId = "oxi-7".parse().unwrap();
        let secret = DeviceSecret::new([7; 32]);
        let both = DeviceEndpoints {
            https: Some("https://gateway.example".to_owned()),
            mqtt: Some("mqtts://broker.example:8883".to_owned()),
        };
        let read: serde_json::Value = serde_json::from_str(&credentials(&device, &secret, &both)).unwrap();
        assert_eq!(read["https"]["url"], "https://gateway.example/devices/oxi-7/measurements");
        assert_eq!(read["mqtt"]["topic"], "sealwort/devices/oxi-7/measurements");
        assert_eq!(read["password"], secret.password());
        let neither = DeviceEndpoints { https: None, mqtt: None };
        let read: serde_json::Value = serde_json::from_str(&credentials(&device, &secret, &neither)).unwrap();
        assert!(read.get("https").is_none() && read.get("mqtt").is_none());
    }

    #[test]
    fn a_pairing_code_leads_back() {
        let device: DeviceId = "oxi-7".parse().unwrap();
        let code = pairing_code(&device, &DeviceSecret::new([7; 32]), "https://gateway.example");
        let (url, found, secret) = read_pairing_code(&code).unwrap();
        assert_eq!((url, &found), ("https://gateway.example/devices/oxi-7/measurements", &device));
        assert_eq!(secret.as_bytes(), &[7; 32]);
        for wrong in [
            "",
            "https://gateway.example/devices/oxi-7/measurements",
            &code.replace("oxi", "Oxi"),
            &code.replace('#', "/"),
        ] {
            assert!(read_pairing_code(wrong).is_none(), "{wrong}");
        }
    }
}
