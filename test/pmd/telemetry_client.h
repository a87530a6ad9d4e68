// Asks DPDK's telemetry over its socket, as dpdk-telemetry.py does.  Knows JSON, and no command.
#pragma once

#include <gtest/gtest.h>

#include <rte_eal.h>

#include <cctype>
#include <cstdint>
#include <cstdlib>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

namespace lagg::test {

/// A value: a scalar has `text`, an object `fields`, an array `items`.
struct json {
    bool valid = false;
    std::string text;
    std::map<std::string, json> fields;
    std::vector<json> items;

    bool has(std::string const& name) const { return fields.contains(name); }
    json const& at(std::string const& name) const {
        static json const nothing;
        auto const found = fields.find(name);
        return found == fields.end() ? nothing : found->second;
    }
    /// 0 for what is no number.
    std::uint64_t number() const { return std::strtoull(text.c_str(), nullptr, 10); }
};

/// Reads what telemetry writes; what it cannot read is not valid.
class json_reader {
public:
    static json read(std::string_view text) {
        json_reader r(text);
        json whole = r.value();
        r.blanks();
        whole.valid = whole.valid && r.text_.empty();
        return whole;
    }

private:
    explicit json_reader(std::string_view text) : text_(text) {}

    void blanks() {
        while (!text_.empty() && std::isspace(static_cast<unsigned char>(text_[0])) != 0) {
            text_.remove_prefix(1);
        }
    }
    bool skip(char c) {
        blanks();
        bool const is = !text_.empty() && text_[0] == c;
        text_.remove_prefix(is ? 1 : 0);
        return is;
    }
    std::string string() {
        std::string out;
        while (!text_.empty() && text_[0] != '"') {
            text_.remove_prefix(text_[0] == '\\' && text_.size() > 1 ? 1 : 0);
            out += text_[0];
            text_.remove_prefix(1);
        }
        return out;
    }
    json value() {
        json v;
        if (skip('{')) {
            return object();
        }
        if (skip('[')) {
            return array();
        }
        if (skip('"')) {
            v.text = string();
            v.valid = skip('"');
            return v;
        }
        while (!text_.empty() && (std::isalnum(static_cast<unsigned char>(text_[0])) != 0 ||
                                  std::string_view("+-.").find(text_[0]) != text_.npos)) {
            v.text += text_[0];
            text_.remove_prefix(1);
        }
        v.valid = !v.text.empty();
        return v;
    }
    json object() {
        json v;
        v.valid = true;
        while (v.valid && !skip('}')) {
            v.valid = (v.fields.empty() || skip(',')) && skip('"');
            std::string const name = string();
            v.valid = v.valid && skip('"') && skip(':') && !v.has(name);
            json inner = value();
            v.valid = v.valid && inner.valid;
            v.fields.emplace(name, std::move(inner));
        }
        return v;
    }
    json array() {
        json v;
        v.valid = true;
        while (v.valid && !skip(']')) {
            v.valid = v.items.empty() || skip(',');
            v.items.push_back(value());
            v.valid = v.valid && v.items.back().valid;
        }
        return v;
    }

    std::string_view text_;
};

/// A connection.  One thread.
class telemetry_client {
public:
    telemetry_client() : fd_(socket(AF_UNIX, SOCK_SEQPACKET, 0)), answer_(1 << 16, '\0') {
        sockaddr_un to{};
        to.sun_family = AF_UNIX;
        std::string const path = std::string(rte_eal_get_runtime_dir()) + "/dpdk_telemetry.v2";
        path.copy(to.sun_path, sizeof to.sun_path - 1);
        ok_ = connect(fd_, reinterpret_cast<sockaddr const*>(&to), sizeof to) == 0 &&
              receive().at("max_output_len").number() > 0;
    }
    ~telemetry_client() { close(fd_); }
    telemetry_client(telemetry_client const&) = delete;
    telemetry_client& operator=(telemetry_client const&) = delete;

    bool ok() const { return ok_; }

    /// The answer to "/command" or "/command,parameters"; "null" when it was refused.
    json ask(std::string const& question) {
        if (::send(fd_, question.data(), question.size(), 0) < 0) {
            return {};
        }
        return receive().at(question.substr(0, question.find(',')));
    }

private:
    json receive() {
        ssize_t const n = recv(fd_, answer_.data(), answer_.size(), 0);
        return n <= 0 ? json{}
                      : json_reader::read(
                            std::string_view(answer_.data(), static_cast<std::size_t>(n)));
    }

    int fd_;
    std::string answer_;
    bool ok_;
};

} // namespace lagg::test
