# libexcise_cuda.so: the CUDA back end as a module that the program loads on demand. Needs nvcc's
# runtime, cuDNN and cuBLASLt; the two libraries are looked for in the toolkit and in Python's
# nvidia-* packages as well, which PyTorch brings along.
file(GLOB module_sources CONFIGURE_DEPENDS cuda/*.c)

find_package(CUDAToolkit QUIET)
find_package(Python3 COMPONENTS Interpreter QUIET)
set(nvidia_folders "")
if(Python3_FOUND)
  execute_process(
    COMMAND ${Python3_EXECUTABLE} -c
            "import glob, importlib.util as u; s = u.find_spec('nvidia'); \
print(';'.join(sorted(f for p in (s.submodule_search_locations if s else []) for f in glob.glob(p + '/*'))))"
    OUTPUT_VARIABLE nvidia_folders OUTPUT_STRIP_TRAILING_WHITESPACE ERROR_QUIET)
endif()
set(major ${CUDAToolkit_VERSION_MAJOR})
# CUDAToolkit_LIBRARY_DIR is where the runtime was found, which may be a link away from the rest.
set(toolkit_folders ${CUDAToolkit_LIBRARY_DIR} ${CUDAToolkit_TARGET_DIR} ${CUDAToolkit_LIBRARY_ROOT}
                    /usr/local/cuda)
find_path(CUDNN_INCLUDE_DIR cudnn.h HINTS ${CUDAToolkit_INCLUDE_DIRS}
          PATHS ${nvidia_folders} PATH_SUFFIXES include)
find_library(CUDNN_LIBRARY NAMES cudnn libcudnn.so.9 HINTS ${toolkit_folders}
             PATHS ${nvidia_folders} PATH_SUFFIXES lib64 lib)
find_path(CUBLASLT_INCLUDE_DIR cublasLt.h HINTS ${CUDAToolkit_INCLUDE_DIRS}
          PATHS ${nvidia_folders} PATH_SUFFIXES include)
find_library(CUBLASLT_LIBRARY NAMES cublasLt libcublasLt.so.${major}
             HINTS ${toolkit_folders} PATHS ${nvidia_folders} PATH_SUFFIXES lib64 lib)
# For --profile; CUPTI itself is loaded when somebody profiles.
find_path(CUPTI_INCLUDE_DIR cupti.h HINTS ${CUDAToolkit_INCLUDE_DIRS}
          PATHS ${CUDAToolkit_TARGET_DIR}/extras/CUPTI /usr/local/cuda /usr/local/cuda/extras/CUPTI
                ${nvidia_folders} PATH_SUFFIXES include)
find_library(CUPTI_LIBRARY NAMES cupti libcupti.so.${major} HINTS ${CUDAToolkit_LIBRARY_DIR}
             PATHS ${CUDAToolkit_TARGET_DIR}/extras/CUPTI ${nvidia_folders} PATH_SUFFIXES lib64 lib)
message(STATUS "CUDA profile (CUPTI): ${CUPTI_INCLUDE_DIR} ${CUPTI_LIBRARY}")

set(missing "")
if(NOT TARGET CUDA::cudart_static)
  list(APPEND missing "the CUDA runtime (libcudart_static.a)")
endif()
# Earlier ones make no plans from a device's properties (dnn_graph_cudnn_impl.h).
set(cudnn_version 9.8)
if(CUDNN_INCLUDE_DIR AND EXISTS ${CUDNN_INCLUDE_DIR}/cudnn_version.h)
  file(STRINGS ${CUDNN_INCLUDE_DIR}/cudnn_version.h lines REGEX "^#define CUDNN_(MAJOR|MINOR) ")
  string(REGEX REPLACE "[^;0-9]" "" cudnn_version "${lines}")
  string(REPLACE ";" "." cudnn_version "${cudnn_version}")
endif()
if(NOT CUDNN_INCLUDE_DIR OR NOT CUDNN_LIBRARY)
  list(APPEND missing "cuDNN 9.8 or later (CUDNN_INCLUDE_DIR, CUDNN_LIBRARY)")
elseif(cudnn_version VERSION_LESS 9.8)
  list(APPEND missing "cuDNN 9.8 or later; ${CUDNN_INCLUDE_DIR} has ${cudnn_version} (CUDNN_INCLUDE_DIR, \
CUDNN_LIBRARY)")
endif()
if(NOT CUBLASLT_INCLUDE_DIR OR NOT CUBLASLT_LIBRARY)
  list(APPEND missing "cuBLASLt of CUDA ${major} (CUBLASLT_INCLUDE_DIR, CUBLASLT_LIBRARY)")
endif()
if(missing)
  list(JOIN missing "; " missing)
  message(STATUS "CUDA back end (libexcise_cuda.so): not built; missing: ${missing}")
  return()
endif()
message(STATUS "CUDA back end (libexcise_cuda.so): ${CUDNN_LIBRARY}, ${CUBLASLT_LIBRARY}")

# CMake leaves out folders that nvcc searches by itself, where the loader may not look.
set(library_folders "")
foreach(library ${CUDNN_LIBRARY} ${CUBLASLT_LIBRARY})
  get_filename_component(folder ${library} DIRECTORY)
  list(APPEND library_folders ${folder})
endforeach()
list(REMOVE_DUPLICATES library_folders)

add_library(excise_cuda MODULE ${module_sources})
add_dependencies(excise_cuda excise_build_id)
set_target_properties(excise_cuda PROPERTIES LIBRARY_OUTPUT_DIRECTORY ${PROJECT_BINARY_DIR}
                      BUILD_RPATH "${library_folders}" INSTALL_RPATH "${library_folders}"
                      INSTALL_RPATH_USE_LINK_PATH ON)
target_include_directories(excise_cuda PRIVATE ${CMAKE_CURRENT_BINARY_DIR} ${RANDOM123_INCLUDE_DIR})
target_include_directories(excise_cuda SYSTEM PRIVATE ${CUDAToolkit_INCLUDE_DIRS}
                           ${CUDNN_INCLUDE_DIR} ${CUBLASLT_INCLUDE_DIR})
target_link_libraries(excise_cuda PRIVATE excise_engine excise_kernels_cuda excise_flags
                      CUDA::cudart_static ${CUDNN_LIBRARY} ${CUBLASLT_LIBRARY})
# One exported function; of the engine only what is used, with the libraries that this needs.
target_link_options(excise_cuda PRIVATE -Wl,--exclude-libs,ALL -Wl,--as-needed)
if(NOT EXCISE_SANITIZE)
  target_link_options(excise_cuda PRIVATE -Wl,--no-undefined)
endif()
if(CUPTI_INCLUDE_DIR)
  file(GLOB cupti_sources CONFIGURE_DEPENDS cuda/cupti/*.c)
  target_sources(excise_cuda PRIVATE ${cupti_sources})
  target_include_directories(excise_cuda SYSTEM PRIVATE ${CUPTI_INCLUDE_DIR})
  if(NOT CUPTI_LIBRARY)
    set(CUPTI_LIBRARY libcupti.so)
  endif()
  target_compile_definitions(excise_cuda PRIVATE EX_CUPTI_LIBRARY="${CUPTI_LIBRARY}")
endif()
install(TARGETS excise_cuda LIBRARY DESTINATION ${CMAKE_INSTALL_LIBDIR})
