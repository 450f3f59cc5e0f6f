#!/usr/bin/env bash
# Compiles embedport with the feature `cuda`, with a CUDA tool chain made of Python packages.
# Neither a GPU nor an installed CUDA is needed to compile; to run, the machine's driver is.
#
#   scripts/cuda.sh [check|build]          (default: check)
#
#   CUDA_COMPUTE_CAP   compute capability to compile for, without the dot (default: 90)
#   EMBEDPORT_PYTHON   the Python to make the environment with (default: python3)
#
# Where no driver is installed, `build` links against a stub of libcuda.so made here; the result runs only
# where a real driver is.
set -euo pipefail
cd "$(dirname "$0")/.."
verb=${1:-check}
environment=.venv/cuda
if [ ! -f "$environment/.complete" ]; then
    rm -rf "$environment"
    "${EMBEDPORT_PYTHON:-python3}" -m venv "$environment"
    "$environment/bin/pip" install --quiet --disable-pip-version-check \
        nvidia-cuda-nvcc nvidia-cuda-crt nvidia-nvvm nvidia-cuda-cccl nvidia-cuda-runtime \
        nvidia-cuda-nvrtc nvidia-cublas nvidia-curand
    touch "$environment/.complete"
fi
home=$(echo "$PWD/$environment"/lib/python3*/site-packages/nvidia/cu13)
[ -d "$home" ] || { echo "error: no CUDA 13 tool chain in $environment" >&2; exit 1; }
[ -e "$home/lib64" ] || ln -s lib "$home/lib64"
for library in "$home"/lib/lib*.so.*; do
    plain=${library%%.so.*}.so
    [ -e "$plain" ] || ln -s "$(basename "$library")" "$plain"
done
if ! ldconfig -p 2>/dev/null | grep -q libcuda.so.1 && [ ! -e "$home/lib/libcuda.so" ]; then
    # Every symbol of the driver that the linker asks for is looked up at run time by the real one.
    cat >"$home/lib/stub.c" <<'C'
int cuInit(unsigned flags) { (void)flags; return 100; } /* CUDA_ERROR_NO_DEVICE */
C
    cc -shared -fPIC -Wl,-soname,libcuda.so.1 -o "$home/lib/libcuda.so" "$home/lib/stub.c"
fi
export CUDA_HOME=$home CUDA_PATH=$home CUDA_ROOT=$home
export PATH="$home/bin:$home/nvvm/bin:$PATH"
export CUDA_COMPUTE_CAP=${CUDA_COMPUTE_CAP:-90} CUDARC_CUDA_VERSION=${CUDARC_CUDA_VERSION:-13020}
export LIBRARY_PATH="$home/lib${LIBRARY_PATH:+:$LIBRARY_PATH}"
case $verb in
check) exec cargo check --release --features cuda --target-dir target/cuda ;;
build) RUSTFLAGS="${RUSTFLAGS:-} -L native=$home/lib -C link-arg=-Wl,--unresolved-symbols=ignore-all" \
    exec cargo build --release --features cuda --target-dir target/cuda ;;
*) echo "error: wanted check or build, found $verb" >&2; exit 2 ;;
esac
