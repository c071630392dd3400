// SPDX-License-Identifier: GPL-2.0-or-later
//! `cargo conzone completions`: completion scripts for shells.

use std::process::ExitCode;

use clap::builder::PossibleValuesParser;
use clap::Command;
use clap_complete::Shell;

use crate::experiment::catalogue;
use crate::out;
use crate::provenance::Program;

/// Print a completion script for your shell
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  source <(cargo conzone completions bash)    in ~/.bashrc
  cargo conzone completions fish >~/.config/fish/completions/conzone.fish")]
pub struct Args {
    /// The shell to complete in; the script completes the program `conzone`
    shell: Shell,
}

/// Cargo's own completion goes on, as far as there is one already.
const CARGO_IN_BASH: &str = r#"
_cargo_conzone() {
    if [[ ${COMP_WORDS[1]-} == conzone && $COMP_CWORD -gt 1 ]]; then
        COMP_WORDS=("${COMP_WORDS[@]:1}")
        COMP_CWORD=$((COMP_CWORD - 1))
        _conzone conzone "$2" "$3"
    elif declare -F _cargo >/dev/null; then
        _cargo "$@"
    fi
}
complete -F _cargo_conzone -o bashdefault -o default cargo
"#;

/// Prints the script. It needs no repository: packagers run it from anywhere.
///
/// # Errors
/// Standard output cannot be written.
pub fn run(program: &Program, args: &Args) -> anyhow::Result<ExitCode> {
    let mut script = Vec::new();
    let mut command = with_values((program.command)());
    clap_complete::generate(args.shell, &mut command, "conzone", &mut script);
    out::text(String::from_utf8_lossy(&script))?;
    if args.shell == Shell::Bash && program.name.starts_with("cargo ") {
        out::text(CARGO_IN_BASH)?;
    }
    Ok(ExitCode::SUCCESS)
}

/// The command line with what there is to choose from, also where the program itself checks that later: properties and
/// experiments.
fn with_values(command: Command) -> Command {
    let properties = || ssd::PROPERTIES.iter().map(|p| format!("{}=", p.name()));
    let experiments = || catalogue::ALL.iter().map(|e| e.name).chain(["all"]);
    command.mut_subcommands(move |command| {
        let is_experiment = command.get_name() == "experiment";
        command.mut_args(|arg| match arg.get_id().as_str() {
            "set" => arg.value_parser(PossibleValuesParser::new(properties())),
            "name" if is_experiment => arg.value_parser(PossibleValuesParser::new(experiments())),
            _ => arg,
        })
    })
}
