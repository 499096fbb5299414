# libexcise_nccl.so: ranks with a GPU each, as a module that the program loads where several were
# started. NCCL is looked for in the toolkit and in Python's nvidia-nccl package as well.
find_package(CUDAToolkit QUIET)
find_package(Python3 COMPONENTS Interpreter QUIET)
set(nvidia_nccl "")
if(Python3_FOUND)
  execute_process(
    COMMAND ${Python3_EXECUTABLE} -c
            "import importlib.util as u; s = u.find_spec('nvidia'); \
print(';'.join(p + '/nccl' for p in (s.submodule_search_locations if s else [])))"
    OUTPUT_VARIABLE nvidia_nccl OUTPUT_STRIP_TRAILING_WHITESPACE ERROR_QUIET)
endif()
find_path(NCCL_INCLUDE_DIR nccl.h HINTS ${CUDAToolkit_INCLUDE_DIRS} PATHS ${nvidia_nccl}
          PATH_SUFFIXES include)
find_library(NCCL_LIBRARY NAMES nccl libnccl.so.2 HINTS ${CUDAToolkit_LIBRARY_DIR}
             PATHS ${nvidia_nccl} PATH_SUFFIXES lib)
if(NOT NCCL_INCLUDE_DIR OR NOT NCCL_LIBRARY OR NOT TARGET CUDA::cudart_static)
  if(EXCISE_NCCL STREQUAL "ON")
    message(FATAL_ERROR "NCCL is missing: install libnccl-dev, or name its parts by "
                        "NCCL_INCLUDE_DIR and NCCL_LIBRARY; it needs the CUDA runtime too")
  endif()
  message(STATUS "Ranks over NCCL (libexcise_nccl.so): not built; missing: NCCL (NCCL_INCLUDE_DIR, "
                 "NCCL_LIBRARY) or the CUDA runtime")
  return()
endif()
message(STATUS "Ranks over NCCL (libexcise_nccl.so): ${NCCL_LIBRARY}")
add_library(excise_nccl MODULE nccl/comm_nccl.c nccl/gpus.c nccl/meet.c)
set_target_properties(excise_nccl PROPERTIES LIBRARY_OUTPUT_DIRECTORY ${PROJECT_BINARY_DIR}
                      INSTALL_RPATH_USE_LINK_PATH ON)
target_include_directories(excise_nccl PRIVATE ${CMAKE_CURRENT_SOURCE_DIR}
                           ${PROJECT_SOURCE_DIR}/engine)
target_include_directories(excise_nccl SYSTEM PRIVATE ${NCCL_INCLUDE_DIR}
                           ${CUDAToolkit_INCLUDE_DIRS})
target_link_libraries(excise_nccl PRIVATE excise_flags CUDA::cudart_static ${NCCL_LIBRARY})
install(TARGETS excise_nccl LIBRARY DESTINATION ${CMAKE_INSTALL_LIBDIR})
