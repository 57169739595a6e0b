//! The program: arguments in, exit code out. Everything else is in the library; start at `cli`.

fn main() -> std::process::ExitCode {
    watchfire::cli::main()
}
