//! Where the arithmetic of embedding models happens.

use std::str::FromStr;

use candle_core::Device;

use crate::error::{Error, Kind, Result};

/// The user's choice of device.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum DeviceChoice {
    /// CUDA where this build and this machine have it, else the CPU.
    #[default]
    Auto,
    /// The CPU.
    Cpu,
    /// The first CUDA device; refused where there is none.
    Cuda,
}

impl DeviceChoice {
    /// The device behind the choice.
    ///
    /// # Errors
    /// [`Kind::Unsupported`] if CUDA was asked for and cannot be had.
    pub fn resolve(self) -> Result<Device> {
        match self {
            DeviceChoice::Cpu => Ok(Device::Cpu),
            DeviceChoice::Auto if !candle_core::utils::cuda_is_available() => Ok(Device::Cpu),
            DeviceChoice::Auto => Ok(Device::new_cuda(0).unwrap_or(Device::Cpu)),
            DeviceChoice::Cuda if !candle_core::utils::cuda_is_available() => {
                Err(Error::new(Kind::Unsupported, "this build of embedport has no cuda")
                    .hint("build with --features cuda, or use --device cpu"))
            }
            DeviceChoice::Cuda => Device::new_cuda(0).map_err(|cause| {
                Error::new(Kind::Unsupported, "the first cuda device cannot be used")
                    .hint("use --device cpu")
                    .because(cause)
            }),
        }
    }
}

impl FromStr for DeviceChoice {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        match text {
            "auto" => Ok(DeviceChoice::Auto),
            "cpu" => Ok(DeviceChoice::Cpu),
            "cuda" => Ok(DeviceChoice::Cuda),
            _ => Err(Error::new(Kind::Usage, format!("unknown device `{text}`, wanted auto, cpu or cuda"))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn devices_are_named_as_on_the_command_line() {
        assert_eq!("cuda".parse::<DeviceChoice>().unwrap(), DeviceChoice::Cuda);
        assert_eq!("gpu".parse::<DeviceChoice>().unwrap_err().kind(), Kind::Usage);
        assert!(DeviceChoice::Cpu.resolve().unwrap().is_cpu());
    }
}
