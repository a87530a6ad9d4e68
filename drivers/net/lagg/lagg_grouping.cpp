// Which form of grouping the bursts of this process use.
#include "lagg_grouping.h"

#include "lagg_simd.h"

#include "lagg/datapath/by_flow_avx2.h"
#include "lagg/datapath/by_flow_avx512.h"
#include "lagg/datapath/by_flow_avx512vl.h"
#include "lagg/datapath/by_flow_neon.h"
#include "lagg/datapath/by_flow_sse42.h"
#include "lagg/datapath/in_turn_avx2.h"
#include "lagg/datapath/to_all_avx2.h"

#include <rte_cpuflags.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <initializer_list>

namespace lagg::pmd {
namespace {

bool always() noexcept {
    return true;
}

constexpr group_variant portable{"portable", lagg::group_by_flow<mbuf_reader>,
                                 lagg::deal_columns<rte_mbuf*>, lagg::copy_to_each<rte_mbuf*>,
                                 always};

#if defined(__x86_64__) || defined(__AARCH64EL__)

bool has_all(std::initializer_list<rte_cpu_flag_t> flags) noexcept {
    return std::all_of(flags.begin(), flags.end(),
                       [](rte_cpu_flag_t f) { return rte_cpu_get_flag_enabled(f) == 1; });
}

#endif

#if defined(__x86_64__)

bool has_avx2() noexcept {
    return lagg_simd_bits() >= 256 &&
           has_all({RTE_CPUFLAG_AVX2, RTE_CPUFLAG_BMI1, RTE_CPUFLAG_BMI2, RTE_CPUFLAG_POPCNT});
}

bool has_sse42() noexcept {
    return lagg_simd_bits() >= 128 && has_all({RTE_CPUFLAG_SSE4_2});
}

bool has_avx512vl() noexcept {
    return has_avx2() &&
           has_all({RTE_CPUFLAG_AVX512F, RTE_CPUFLAG_AVX512BW, RTE_CPUFLAG_AVX512DQ,
                    RTE_CPUFLAG_AVX512VL, RTE_CPUFLAG_AVX512VBMI, RTE_CPUFLAG_AVX512VBMI2});
}

bool has_avx512() noexcept {
    return lagg_simd_bits() >= 512 && has_avx512vl();
}

constexpr std::array variants{
    group_variant{"avx512", avx512::group_by_flow<mbuf_reader>, avx2::deal_columns<rte_mbuf*>,
                  avx2::copy_to_each<rte_mbuf*>, has_avx512},
    group_variant{"avx512vl", avx512vl::group_by_flow<mbuf_reader>, avx2::deal_columns<rte_mbuf*>,
                  avx2::copy_to_each<rte_mbuf*>, has_avx512vl},
    group_variant{"avx2", avx2::group_by_flow<mbuf_reader>, avx2::deal_columns<rte_mbuf*>,
                  avx2::copy_to_each<rte_mbuf*>, has_avx2},
    group_variant{"sse42", sse42::group_by_flow<mbuf_reader>, lagg::deal_columns<rte_mbuf*>,
                  lagg::copy_to_each<rte_mbuf*>, has_sse42},
    portable,
};

#elif defined(__AARCH64EL__)

bool has_neon() noexcept {
    return lagg_simd_bits() >= 128 && has_all({RTE_CPUFLAG_NEON});
}

constexpr std::array variants{
    group_variant{"neon", neon::group_by_flow<mbuf_reader>, lagg::deal_columns<rte_mbuf*>,
                  lagg::copy_to_each<rte_mbuf*>, has_neon},
    portable,
};

#else

constexpr std::array variants{
    portable,
};

#endif

} // namespace

std::atomic<group_variant const*> chosen_group{&portable}; // [group]

std::span<group_variant const> group_variants() noexcept {
    return variants;
}

void choose_group_variant() noexcept {
    auto const best = std::find_if(variants.begin(), variants.end(),
                                   [](group_variant const& v) { return v.runs_here(); });
    chosen_group.store(&*best, std::memory_order_relaxed); // [group]
}

} // namespace lagg::pmd
