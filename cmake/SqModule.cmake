# sq_module(NAME SOURCES... DEPENDS targets...)
#
# A static library sq_NAME whose headers are included as "NAME/header.h". The include path of a
# module holds that module alone (a link NAME -> its folder), and travels only along DEPENDS, so
# that an include which architecture.md does not allow does not compile.
function(sq_module name)
  cmake_parse_arguments(ARG "" "" "SOURCES;DEPENDS;PRIVATE" ${ARGN})
  set(include_root "${CMAKE_BINARY_DIR}/include/${name}")
  file(MAKE_DIRECTORY "${include_root}")
  file(CREATE_LINK "${CMAKE_CURRENT_SOURCE_DIR}" "${include_root}/${name}" SYMBOLIC)
  add_library(sq_${name} STATIC ${ARG_SOURCES})
  target_include_directories(sq_${name} PUBLIC "${include_root}")
  target_link_libraries(sq_${name} PUBLIC ${ARG_DEPENDS} PRIVATE sq_flags ${ARG_PRIVATE})
endfunction()
