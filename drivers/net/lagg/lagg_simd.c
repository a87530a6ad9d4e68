/* In C, because 22.11's rte_vect.h forgets C++. */
#include "lagg_simd.h"

#include <rte_vect.h>

unsigned int lagg_simd_bits(void) {
    return rte_vect_get_max_simd_bitwidth();
}
