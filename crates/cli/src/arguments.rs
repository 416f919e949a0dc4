//! What can be written after `sealwort`. Each command's own arguments stand in its module.

use clap::{Parser, Subcommand};

use crate::access_log::AccessLogArgs;
use crate::audit::AuditArgs;
use crate::ca::CaArgs;
use crate::config::ConfigCommandArgs;
use crate::consent::ConsentArgs;
use crate::delegate::DelegateArgs;
use crate::demo::DemoArgs;
use crate::device::DeviceArgs;
use crate::doctor::DoctorArgs;
use crate::emergency::EmergencyArgs;
use crate::erase::EraseArgs;
use crate::evaluate::EvaluateArgs;
use crate::export::ExportArgs;
use crate::get::GetArgs;
use crate::import::ImportArgs;
use crate::join::JoinArgs;
use crate::labels::LabelsArgs;
use crate::login::{LoginArgs, LogoutArgs};
use crate::passkey::PasskeyArgs;
use crate::patient::PatientArgs;
use crate::put::PutArgs;
use crate::question::QuestionArgs;
use crate::refused::RefusedArgs;
use crate::services::{GatewayArgs, ServiceArgs};
use crate::session::SessionArgs;
use crate::status::StatusArgs;
use crate::store::StoreArgs;
use crate::trace::TraceArgs;

/// Health records between hospitals: sealed end to end, released by consent.
#[derive(Debug, Parser)]
#[command(name = "sealwort", version, propagate_version = true, after_help = EXIT_CODES)]
pub(crate) struct Cli {
    /// Print JSON on standard output, for scripts.
    #[arg(long, global = true)]
    pub(crate) json: bool,
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Run a whole exchange on this computer and watch a record travel.
    Demo(DemoArgs),
    /// Hold the paper's evaluation, its Tables 2, 3 and 4, beside a real run of ours.
    Evaluate(EvaluateArgs),
    /// The certificate authority: create an exchange, invite, revoke, list, serve.
    Ca(CaArgs),
    /// Run the broker.
    #[command(visible_alias = "htsc")]
    Broker(ServiceArgs),
    /// Run the archive.
    #[command(visible_alias = "himc")]
    Archive(ServiceArgs),
    /// Run a hospital's gateway, issue a token for its FHIR face, or register apps.
    #[command(visible_alias = "lhc")]
    Gateway(GatewayArgs),
    /// Join an exchange with an invitation. Keys are made here and never leave.
    Join(JoinArgs),
    /// Write FHIR files through a gateway.
    Put(PutArgs),
    /// Read everything about a patient through a gateway.
    Get(GetArgs),
    /// Write everything about a patient into a file, to take along.
    Export(ExportArgs),
    /// Store a patient's record from such a file.
    Import(ImportArgs),
    /// Grant, withdraw, list and explain a patient's consents.
    Consent(ConsentArgs),
    /// How confidential resources are: explain a label, label anew.
    Labels(LabelsArgs),
    /// Erase a patient everywhere, with signed certificates.
    Erase(EraseArgs),
    /// Who had to do with a patient's record, by the logs of all parties; with --proof, as a file that verifies.
    AccessLog(AccessLogArgs),
    /// Two identities of one patient: merge, unmerge.
    Patient(PatientArgs),
    /// A party's audit log: search, export, verify.
    Audit(AuditArgs),
    /// What a broker or archive keeps: verify, migrate, back up, change its key.
    Store(StoreArgs),
    /// Devices that send a patient's measurements: enrol, list, revoke.
    Device(DeviceArgs),
    /// Emergency access (break-glass): ask, approve, end, list, report, review.
    Emergency(EmergencyArgs),
    /// What a gateway refused of what came in, and keeps: list, replay, discard.
    Refused(RefusedArgs),
    /// Who acts for a patient, a parent or a carer: add, list, remove.
    Delegate(DelegateArgs),
    /// What patients ask about looks at their records: list, answer.
    Question(QuestionArgs),
    /// Patients' passkeys: invite, list, remove.
    Passkey(PasskeyArgs),
    /// Sign in at a gateway, in the browser, and keep the token of the session.
    Login(LoginArgs),
    /// End the session that login began.
    Logout(LogoutArgs),
    /// People signed in at a gateway, and lockouts: list, end, unlock.
    Session(SessionArgs),
    /// What happened for one request, at every party whose data folder is at hand.
    Trace(TraceArgs),
    /// How a gateway is doing.
    Status(StatusArgs),
    /// Find what is wrong with a party's set-up, and the line that mends it.
    Doctor(DoctorArgs),
    /// Check configuration files, or show the values in effect and where each is from.
    Config(ConfigCommandArgs),
}

const EXIT_CODES: &str = "\
Exit codes: 0 done, 1 wrong use or a local fault, 2 another party failed or refused, \
3 denied by policy or consent, 4 unhealthy, 5 tampered with, 6 cannot be verified.";

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::Cli;

    #[test]
    fn the_arguments_are_well_formed() {
        Cli::command().debug_assert();
    }
}
