//! The GPUs of this machine, by NVIDIA's management library.
//!
//! The library comes with the driver, so it is looked for when a run begins and never linked: a
//! machine without it simply has no values. Only what the vocabulary needs is called.
//! (NVML API Reference Guide, "Device Queries".)

#![expect(unsafe_code, reason = "a foreign library that is found at run time")]

use std::ffi::{CStr, c_char, c_int, c_uint, c_ulonglong, c_void};
use std::mem::transmute_copy;
use std::ptr;

use infermark_terms::Metric;

use crate::Value;

/// The library's own name: the newer ones answer to it too.
const LIBRARY: &CStr = c"libnvidia-ml.so.1";

/// `NVML_DEVICE_UUID_V2_BUFFER_SIZE`.
const UUID_BYTES: usize = 96;

/// The most GPUs that are read.
const GPUS_MAX: c_uint = 64;

/// `nvmlReturn_t`: 0 is success.
type Status = c_int;

/// `nvmlDevice_t`.
type Device = *mut c_void;

/// `nvmlUtilization_t`, in percent.
#[repr(C)]
#[derive(Clone, Copy, Default)]
struct Utilization {
    gpu: c_uint,
    memory: c_uint,
}

/// `nvmlMemory_t`, in bytes.
#[repr(C)]
#[derive(Clone, Copy, Default)]
struct Memory {
    total: c_ulonglong,
    free: c_ulonglong,
    used: c_ulonglong,
}

type Read<T> = unsafe extern "C" fn(Device, *mut T) -> Status;
type ReadKind = unsafe extern "C" fn(Device, c_uint, *mut c_uint) -> Status;

/// `NVML_TEMPERATURE_GPU`, `NVML_CLOCK_SM` and `NVML_CLOCK_MEM`.
const TEMPERATURE_GPU: c_uint = 0;
const CLOCK_SM: c_uint = 1;
const CLOCK_MEMORY: c_uint = 2;

/// The functions that are called. A driver may lack those that read.
#[derive(Clone, Copy)]
struct Functions {
    init: unsafe extern "C" fn() -> Status,
    shutdown: unsafe extern "C" fn() -> Status,
    count: unsafe extern "C" fn(*mut c_uint) -> Status,
    handle: unsafe extern "C" fn(c_uint, *mut Device) -> Status,
    uuid: unsafe extern "C" fn(Device, *mut c_char, c_uint) -> Status,
    utilization: Option<Read<Utilization>>,
    memory: Option<Read<Memory>>,
    power: Option<Read<c_uint>>,
    power_limit: Option<Read<c_uint>>,
    energy: Option<Read<c_ulonglong>>,
    throttle_reasons: Option<Read<c_ulonglong>>,
    temperature: Option<ReadKind>,
    clock: Option<ReadKind>,
}

impl Functions {
    /// Loads the library, which stays loaded for good.
    fn load() -> Option<Self> {
        // SAFETY: the name is a C string; the handle is not closed while its symbols are used.
        let library = unsafe { libc::dlopen(LIBRARY.as_ptr(), libc::RTLD_LAZY) };
        if library.is_null() {
            return None;
        }
        // SAFETY (each): the types are those of `nvml.h`.
        unsafe {
            Some(Self {
                init: symbol(library, c"nvmlInit_v2")?,
                shutdown: symbol(library, c"nvmlShutdown")?,
                count: symbol(library, c"nvmlDeviceGetCount_v2")?,
                handle: symbol(library, c"nvmlDeviceGetHandleByIndex_v2")?,
                uuid: symbol(library, c"nvmlDeviceGetUUID")?,
                utilization: symbol(library, c"nvmlDeviceGetUtilizationRates"),
                memory: symbol(library, c"nvmlDeviceGetMemoryInfo"),
                power: symbol(library, c"nvmlDeviceGetPowerUsage"),
                power_limit: symbol(library, c"nvmlDeviceGetEnforcedPowerLimit"),
                energy: symbol(library, c"nvmlDeviceGetTotalEnergyConsumption"),
                throttle_reasons: symbol(library, c"nvmlDeviceGetCurrentClocksThrottleReasons"),
                temperature: symbol(library, c"nvmlDeviceGetTemperature"),
                clock: symbol(library, c"nvmlDeviceGetClockInfo"),
            })
        }
    }

    fn gpu(&self, index: c_uint) -> Option<(Device, String)> {
        let mut device: Device = ptr::null_mut();
        // SAFETY: the out-parameter lives through the call.
        if unsafe { (self.handle)(index, &raw mut device) } != 0 {
            return None;
        }
        let mut name = [0_u8; UUID_BYTES];
        // SAFETY: the buffer is as long as is said, and what is written ends in a zero.
        let status = unsafe { (self.uuid)(device, name.as_mut_ptr().cast(), UUID_BYTES as c_uint) };
        let named = CStr::from_bytes_until_nul(&name).ok().filter(|_| status == 0);
        let name = named.map_or(index.to_string(), |name| name.to_string_lossy().into_owned());
        Some((device, name))
    }

    /// Reads one GPU in the vocabulary's units.
    fn read(&self, device: Device, name: &str) -> Vec<Value> {
        let utilization = ask(self.utilization, device);
        let memory = ask(self.memory, device);
        let watts = |read| ask(read, device).map(|milliwatts: c_uint| f64::from(milliwatts) / 1e3);
        let clock = |kind| ask_kind(self.clock, device, kind).map(|mhz| f64::from(mhz) * 1e6);
        let values = [
            (Metric::GpuUtilization, utilization.map(|rates| f64::from(rates.gpu) / 100.0)),
            (Metric::GpuMemoryUsed, memory.map(|memory| memory.used as f64)),
            (Metric::GpuMemoryTotal, memory.map(|memory| memory.total as f64)),
            (Metric::GpuPower, watts(self.power)),
            (Metric::GpuPowerLimit, watts(self.power_limit)),
            (Metric::GpuEnergy, ask(self.energy, device).map(|mj| mj as f64 / 1e3)),
            (
                Metric::GpuTemperature,
                ask_kind(self.temperature, device, TEMPERATURE_GPU).map(f64::from),
            ),
            (Metric::GpuSmClock, clock(CLOCK_SM)),
            (Metric::GpuMemoryClock, clock(CLOCK_MEMORY)),
            (
                Metric::GpuThrottleReasons,
                ask(self.throttle_reasons, device).map(|bits| bits as f64),
            ),
        ];
        let read = values.into_iter().filter_map(|(metric, value)| {
            Some(Value { metric, instance: name.to_owned(), value: value? })
        });
        read.collect()
    }
}

/// Returns a function of the library.
///
/// # Safety
///
/// `T` must be the type of the function of this name.
unsafe fn symbol<T: Copy>(library: *mut c_void, name: &CStr) -> Option<T> {
    const { assert!(size_of::<T>() == size_of::<*mut c_void>(), "a function is a pointer") };
    // SAFETY: the library is loaded and the name is a C string.
    let found = unsafe { libc::dlsym(library, name.as_ptr()) };
    // SAFETY: by this function's own contract; the sizes are the same.
    (!found.is_null()).then(|| unsafe { transmute_copy::<*mut c_void, T>(&found) })
}

/// Asks for a value of a GPU; nothing where the driver or the GPU does not tell.
fn ask<T: Default>(read: Option<Read<T>>, device: Device) -> Option<T> {
    let mut value = T::default();
    // SAFETY: the handle is the library's, and the out-parameter lives through the call.
    (unsafe { read?(device, &raw mut value) } == 0).then_some(value)
}

/// Asks for one of several values of a GPU, likewise.
fn ask_kind(read: Option<ReadKind>, device: Device, kind: c_uint) -> Option<c_uint> {
    let mut value = 0;
    // SAFETY: as above.
    (unsafe { read?(device, kind, &raw mut value) } == 0).then_some(value)
}

/// The GPUs of this machine.
pub struct Nvml {
    functions: Functions,
    gpus: Vec<(Device, String)>,
}

// SAFETY: "NVML is thread-safe"; a handle names a GPU to it and points to nothing of ours.
unsafe impl Send for Nvml {}

impl Nvml {
    /// Finds the GPUs of this machine; nothing where there is no library or no GPU.
    pub fn open() -> Option<Self> {
        Self::over(Functions::load()?)
    }

    fn over(functions: Functions) -> Option<Self> {
        // SAFETY: the function takes nothing.
        if unsafe { (functions.init)() } != 0 {
            return None;
        }
        // From here on dropping it ends what was begun.
        let mut nvml = Self { functions, gpus: Vec::new() };
        let mut count = 0;
        // SAFETY: the out-parameter lives through the call.
        if unsafe { (functions.count)(&raw mut count) } == 0 {
            let found = (0..count.min(GPUS_MAX)).filter_map(|index| functions.gpu(index));
            nvml.gpus = found.collect();
        }
        (!nvml.gpus.is_empty()).then_some(nvml)
    }

    /// Reads every GPU; what one does not tell is absent.
    pub fn read(&self) -> Vec<Value> {
        self.gpus.iter().flat_map(|(gpu, name)| self.functions.read(*gpu, name)).collect()
    }
}

impl Drop for Nvml {
    fn drop(&mut self) {
        // SAFETY: it was begun, once. That it cannot be ended changes nothing.
        let _: Status = unsafe { (self.functions.shutdown)() };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MISSING: Status = 3;

    /// A library with two GPUs, the second of which tells nothing but its power.
    fn fake() -> Functions {
        unsafe extern "C" fn nothing() -> Status {
            0
        }
        unsafe extern "C" fn count(out: *mut c_uint) -> Status {
            unsafe { *out = 2 };
            0
        }
        unsafe extern "C" fn handle(index: c_uint, out: *mut Device) -> Status {
            unsafe { *out = ptr::without_provenance_mut(index as usize + 1) };
            0
        }
        unsafe extern "C" fn uuid(device: Device, out: *mut c_char, _: c_uint) -> Status {
            let name = if device.addr() == 1 { c"GPU-a" } else { c"GPU-b" };
            unsafe { ptr::copy(name.as_ptr(), out, name.count_bytes() + 1) };
            0
        }
        unsafe extern "C" fn utilization(device: Device, out: *mut Utilization) -> Status {
            unsafe { *out = Utilization { gpu: 75, memory: 10 } };
            if device.addr() == 1 { 0 } else { MISSING }
        }
        unsafe extern "C" fn power(_: Device, out: *mut c_uint) -> Status {
            unsafe { *out = 350_500 };
            0
        }
        unsafe extern "C" fn clock(device: Device, kind: c_uint, out: *mut c_uint) -> Status {
            unsafe { *out = if kind == CLOCK_SM { 1_980 } else { 2_619 } };
            if device.addr() == 1 { 0 } else { MISSING }
        }
        Functions {
            init: nothing,
            shutdown: nothing,
            count,
            handle,
            uuid,
            utilization: Some(utilization),
            memory: None,
            power: Some(power),
            power_limit: None,
            energy: None,
            throttle_reasons: None,
            temperature: None,
            clock: Some(clock),
        }
    }

    #[test]
    fn each_gpu_tells_what_it_can_in_our_units_and_the_rest_is_absent() {
        let values = Nvml::over(fake()).unwrap().read();
        let value = |metric, gpu: &str, value| Value { metric, instance: gpu.to_owned(), value };
        assert_eq!(
            values,
            [
                value(Metric::GpuUtilization, "GPU-a", 0.75),
                value(Metric::GpuPower, "GPU-a", 350.5),
                value(Metric::GpuSmClock, "GPU-a", 1.98e9),
                value(Metric::GpuMemoryClock, "GPU-a", 2.619e9),
                value(Metric::GpuPower, "GPU-b", 350.5),
            ]
        );
    }

    #[test]
    fn a_library_that_fails_or_has_no_gpu_is_none() {
        unsafe extern "C" fn fails() -> Status {
            MISSING
        }
        unsafe extern "C" fn uncounted(_: *mut c_uint) -> Status {
            MISSING
        }
        assert!(Nvml::over(Functions { init: fails, ..fake() }).is_none());
        assert!(Nvml::over(Functions { count: uncounted, ..fake() }).is_none());
    }

    #[test]
    fn a_machine_without_the_driver_is_no_error() {
        // Where there is a driver, what it tells has its units.
        let values = Nvml::open().map(|nvml| nvml.read()).unwrap_or_default();
        assert!(values.iter().all(|value| value.value.is_finite() && value.value >= 0.0));
    }
}
