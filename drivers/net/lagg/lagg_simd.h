/* How wide vector registers may be: EAL's --force-max-simd-bitwidth, else the machine's choice. */
#pragma once

#ifdef __cplusplus
extern "C" {
#endif

/** In bits.  Any thread, after rte_eal_init(). */
unsigned int lagg_simd_bits(void);

#ifdef __cplusplus
}
#endif
