// A vector of fixed capacity: no heap, trivially copyable when T is.
#pragma once

#include <array>
#include <cassert>
#include <cstddef>
#include <cstdint>

namespace lagg {

/// Holds at most `N` values in place.  Elements beyond size() are default values, so that two equal
/// vectors are equal byte for byte.
template<class T, std::size_t N>
class bounded_vector {
public:
    using value_type = T;

    static constexpr std::size_t capacity() noexcept { return N; }
    constexpr std::size_t size() const noexcept { return size_; }
    constexpr bool empty() const noexcept { return size_ == 0; }
    constexpr bool full() const noexcept { return size_ == N; }

    constexpr T* begin() noexcept { return items_.data(); }
    constexpr T* end() noexcept { return items_.data() + size_; }
    constexpr T const* begin() const noexcept { return items_.data(); }
    constexpr T const* end() const noexcept { return items_.data() + size_; }
    constexpr T const* data() const noexcept { return items_.data(); }

    constexpr T& operator[](std::size_t i) noexcept {
        assert(i < size_);
        return items_[i];
    }
    constexpr T const& operator[](std::size_t i) const noexcept {
        assert(i < size_);
        return items_[i];
    }

    /// False, unchanged, when full.
    constexpr bool push_back(T const& value) noexcept {
        if (full()) {
            return false;
        }
        items_[size_++] = value;
        return true;
    }

    /// Removes element `i`; those behind it move up, order kept.
    constexpr void erase(std::size_t i) noexcept {
        assert(i < size_);
        for (std::size_t k = i + 1; k < size_; ++k) {
            items_[k - 1] = items_[k];
        }
        items_[--size_] = T{};
    }

    constexpr void clear() noexcept {
        while (size_ > 0) {
            items_[--size_] = T{};
        }
    }

    friend constexpr bool operator==(bounded_vector const& a, bounded_vector const& b) noexcept {
        if (a.size_ != b.size_) {
            return false;
        }
        for (std::size_t i = 0; i < a.size_; ++i) {
            if (!(a.items_[i] == b.items_[i])) {
                return false;
            }
        }
        return true;
    }

private:
    std::array<T, N> items_{};
    std::uint32_t size_ = 0;
};

} // namespace lagg
