//! Values that an argument can take.

use clap::ValueEnum;

/// Where computation runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum DeviceChoice {
    /// CUDA if this build has it and a device is there, else CPU
    Auto,
    /// The processor
    Cpu,
    /// A CUDA device; needs a build with the feature `cuda`
    Cuda,
}

impl From<DeviceChoice> for embedport::embed::DeviceChoice {
    fn from(choice: DeviceChoice) -> Self {
        match choice {
            DeviceChoice::Auto => Self::Auto,
            DeviceChoice::Cpu => Self::Cpu,
            DeviceChoice::Cuda => Self::Cuda,
        }
    }
}

/// What is saved for the way back.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum BackupArgument {
    /// Rows; of a SQLite file that is mostly vectors and that nobody else has open, the file itself: a copy is rewritten
    /// and takes its place
    Auto,
    /// The index files (renamed, not copied) and the rows of the collection
    Rows,
    /// A whole copy of the SQLite file, usable without embedport
    Full,
}

impl From<BackupArgument> for embedport::store::BackupChoice {
    fn from(argument: BackupArgument) -> Self {
        match argument {
            BackupArgument::Auto => Self::Auto,
            BackupArgument::Rows => Self::Rows,
            BackupArgument::Full => Self::Full,
        }
    }
}

/// What becomes of the neighbour graph.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum IndexArgument {
    /// Keep the links, repaired if need be, if the index then finds as much as before (recall@10 within 0.01);
    /// else build anew
    Auto,
    /// Keep the links, repaired if the index finds less than before; never build anew
    Keep,
    /// Build anew
    Rebuild,
}

impl From<IndexArgument> for embedport::store::IndexChoice {
    fn from(argument: IndexArgument) -> Self {
        match argument {
            IndexArgument::Auto => Self::Auto,
            IndexArgument::Keep => Self::Keep,
            IndexArgument::Rebuild => Self::Rebuild,
        }
    }
}

/// What becomes of records that came or changed since the migration.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum SinceChoice {
    /// Do nothing if there are any
    Refuse,
    /// They are lost
    Drop,
    /// They are projected back with --reverse-projection, or their texts embedded with --source-model
    Keep,
}
