// Plain data on the out-of-order machine: when two accesses may change places.  Control writes a
// snapshot and passes it in `current`, a burst reads it and says in `pinned` that it is done.
#include "arm.h"

#include <gtest/gtest.h>

namespace model {
namespace {

constexpr int control = 0;
constexpr int burst = 1;
constexpr int current = current_word(0);
constexpr int pinned = pinned_word(0);
constexpr auto contents = written(2);
constexpr auto its_use = read_by(2, 0);

template<class Memory>
struct PlainData : testing::Test {
    Memory memory;

    void SetUp() override {
        memory = Memory{};
        memory.begin(false, false);
        memory.initially(current, 1);
        memory.initially(pinned, 0);
    }
    void publish(order how) {
        EXPECT_TRUE(memory.plain(control, contents, its_use));
        memory.store(control, current, 3, how);
        memory.flush(control, memory.flushes(control) - 1);
    }
    /// The newest that there is.
    void load(int thread, int word, order how) {
        memory.load(thread, word, memory.choices(thread, word, how) - 1, how);
    }
    bool use() { return memory.plain(burst, its_use, contents); }
    bool write_again() { return memory.plain(control, contents, its_use); }
};

using machines = testing::Types<arm<acquire_as::ldar>, arm<acquire_as::ldapr>>;
TYPED_TEST_SUITE(PlainData, machines, );

TYPED_TEST(PlainData, IsInOrderFromAReleaseToTheAcquireThatReadIt) {
    this->publish(order::release);
    this->load(burst, current, order::acquire);
    EXPECT_TRUE(this->use());
}

TYPED_TEST(PlainData, MayBeReadBeforeALoadThatIsNoAcquire) {
    this->publish(order::release);
    this->load(burst, current, order::relaxed);
    EXPECT_FALSE(this->use());
}

TYPED_TEST(PlainData, MayBeWrittenAfterAStoreThatIsNoRelease) {
    this->publish(order::relaxed);
    this->load(burst, current, order::acquire);
    EXPECT_FALSE(this->use());
}

TYPED_TEST(PlainData, MayBeReadEarlyWhenTheAcquireReadWhatWasThereBefore) {
    this->publish(order::release);
    ASSERT_EQ(2, this->memory.choices(burst, current, order::acquire));
    EXPECT_EQ(1, this->memory.load(burst, current, 0, order::acquire));
    EXPECT_FALSE(this->use());
}

TYPED_TEST(PlainData, MayBeReadUntilAStoreReleaseIsExecuted) {
    this->publish(order::release);
    this->load(burst, current, order::acquire);
    ASSERT_TRUE(this->use());
    this->memory.store(burst, pinned, 0, order::release);
    EXPECT_FALSE(this->write_again()) << "issued only";
    this->memory.flush(burst, 0);
    EXPECT_TRUE(this->write_again());
}

TYPED_TEST(PlainData, MayBeReadAfterAStoreThatIsNoReleaseWasExecuted) {
    this->publish(order::release);
    this->load(burst, current, order::acquire);
    ASSERT_TRUE(this->use());
    this->memory.store(burst, pinned, 0, order::relaxed);
    this->memory.flush(burst, 0);
    EXPECT_FALSE(this->write_again());
}

TYPED_TEST(PlainData, IsReadBeforeAFenceThatControlForcesIntoTheBurst) {
    this->publish(order::release);
    this->load(burst, current, order::acquire);
    ASSERT_TRUE(this->use());
    this->memory.interrupt(burst);
    EXPECT_TRUE(this->write_again());
}

TYPED_TEST(PlainData, IsNotReadBeforeAFenceThatControlForcedIntoTheBurst) {
    this->publish(order::release);
    EXPECT_FALSE(this->use());
    this->memory.interrupt(burst);
    EXPECT_TRUE(this->use());
}

} // namespace
} // namespace model
