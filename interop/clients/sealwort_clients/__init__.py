"""Public clients of FHIR, SMART, HL7 v2 and MQTT, unmodified, against a running `sealwort demo`."""
