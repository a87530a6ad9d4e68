#include "base/result.h"

#include <gtest/gtest.h>

#include <memory>
#include <string>

namespace lagg {
namespace {

result<std::string> named(bool known) {
    if (!known) {
        return errc::not_found;
    }
    return std::string("lagg0");
}

TEST(Result, HoldsTheValueOrTheReason) {
    auto good = named(true);
    ASSERT_TRUE(good);
    EXPECT_TRUE(good.has_value());
    EXPECT_EQ(*good, "lagg0");
    EXPECT_EQ(good->size(), 5U);

    auto bad = named(false);
    EXPECT_FALSE(bad);
    EXPECT_FALSE(bad.has_value());
    EXPECT_EQ(bad.error(), errc::not_found);
}

TEST(Result, CarriesWhatCanOnlyBeMoved) {
    result<std::unique_ptr<int>> r = std::make_unique<int>(3);
    ASSERT_TRUE(r);
    std::unique_ptr<int> const taken = std::move(*r);
    EXPECT_EQ(*taken, 3);
}

TEST(Result, OfNothingIsSuccessUnlessAReasonIsGiven) {
    result<void> good;
    EXPECT_TRUE(good);
    result<void> bad = errc::busy;
    EXPECT_FALSE(bad);
    EXPECT_EQ(bad.error(), errc::busy);
}

TEST(Result, TellsAnErrorOfItsOwnTypeFromAValue) {
    result<int, std::string> bad = std::string("cable");
    ASSERT_FALSE(bad);
    EXPECT_EQ(bad.error(), "cable");
    result<int, std::string> good = 0; // a value that is false as a bool is still a value
    EXPECT_TRUE(good);
}

} // namespace
} // namespace lagg
