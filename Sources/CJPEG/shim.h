/// The header of libjpeg(-turbo), from Debian's libjpeg-dev. It uses FILE and size_t without including what declares them.
#pragma once

#include <stddef.h>
#include <stdio.h>

#include <jpeglib.h>
