#include "base/bounded_vector.h"

#include <gtest/gtest.h>

#include <cstring>
#include <vector>

namespace lagg {
namespace {

template<class V>
std::vector<int> values(V const& v) {
    return std::vector<int>(v.begin(), v.end());
}

TEST(BoundedVector, StartsEmptyAndTakesAsManyAsItsCapacity) {
    bounded_vector<int, 3> v;
    EXPECT_TRUE(v.empty());
    EXPECT_TRUE(v.push_back(1));
    EXPECT_TRUE(v.push_back(2));
    EXPECT_FALSE(v.full());
    EXPECT_TRUE(v.push_back(3));
    EXPECT_TRUE(v.full());
    EXPECT_EQ(values(v), (std::vector<int>{1, 2, 3}));
}

TEST(BoundedVector, RefusesOneMoreThanItsCapacityUnchanged) {
    bounded_vector<int, 2> v;
    ASSERT_TRUE(v.push_back(1) && v.push_back(2));
    EXPECT_FALSE(v.push_back(3));
    EXPECT_EQ(values(v), (std::vector<int>{1, 2}));
}

TEST(BoundedVector, KeepsTheOrderOfTheOthersWhenOneIsErased) {
    bounded_vector<int, 4> v;
    for (int i = 0; i < 4; ++i) {
        ASSERT_TRUE(v.push_back(i));
    }
    v.erase(1);
    EXPECT_EQ(values(v), (std::vector<int>{0, 2, 3}));
    v.erase(2);
    EXPECT_EQ(values(v), (std::vector<int>{0, 2}));
    v.erase(0);
    EXPECT_EQ(values(v), (std::vector<int>{2}));
}

TEST(BoundedVector, IsEqualByteForByteToOneThatGotThereAnotherWay) {
    bounded_vector<int, 4> detour;
    for (int i = 0; i < 4; ++i) {
        ASSERT_TRUE(detour.push_back(i + 7));
    }
    detour.clear();
    ASSERT_TRUE(detour.push_back(5));
    ASSERT_TRUE(detour.push_back(6));
    detour.erase(0);
    bounded_vector<int, 4> direct;
    ASSERT_TRUE(direct.push_back(6));
    EXPECT_EQ(detour, direct);
    EXPECT_EQ(std::memcmp(&detour, &direct, sizeof direct), 0);
}

TEST(BoundedVector, DiffersBySizeAndByValue) {
    bounded_vector<int, 2> a;
    bounded_vector<int, 2> b;
    ASSERT_TRUE(a.push_back(0));
    EXPECT_FALSE(a == b); // the spare element of b is 0 too
    ASSERT_TRUE(b.push_back(1));
    EXPECT_FALSE(a == b);
}

TEST(BoundedVector, WorksInConstantExpressions) {
    constexpr auto v = [] {
        bounded_vector<int, 2> made;
        made.push_back(4);
        return made;
    }();
    static_assert(v.size() == 1 && v[0] == 4 && v.capacity() == 2);
    EXPECT_EQ(*v.data(), 4);
}

} // namespace
} // namespace lagg
