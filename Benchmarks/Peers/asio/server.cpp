// Asio (standalone), as its users write it: a session object that owns socket, timer and buffers and lives in its handlers,
// async_read_some and async_write. The timer follows the "deadline stored, timer looks" pattern of Asio's own timeout
// example, so that a message costs it a store. One thread, and told so: ASIO_DISABLE_THREADS, and a hint of 1.
#include "../Common/frames.h"
#include "../Common/server.h"
#include <asio.hpp>
#include <chrono>
#include <memory>
#include <vector>

using asio::ip::tcp;
using clock_type = std::chrono::steady_clock;

static clock_type::duration idle;

class session : public std::enable_shared_from_this<session> {
public:
    explicit session(tcp::socket socket) : socket_(std::move(socket)), timer_(socket_.get_executor()) {}

    void start() {
        deadline_ = clock_type::now() + idle;
        watch();
        read();
    }

private:
    static constexpr std::size_t initial = 4096;

    void watch() {
        timer_.expires_at(deadline_);
        timer_.async_wait([self = shared_from_this()](const asio::error_code &error) {
            if (error || !self->socket_.is_open()) { return; }
            if (self->deadline_ <= clock_type::now()) {
                self->close();
            } else {
                self->watch();
            }
        });
    }

    void close() {
        asio::error_code ignored;
        socket_.close(ignored);
        timer_.cancel();
    }

    void read() {
        if (bytes_.size() == filled_) { bytes_.resize(filled_ == 0 ? initial : std::max(std::min(needed_, 2 * filled_), filled_ + 1024)); }
        socket_.async_read_some(
            asio::buffer(bytes_.data() + filled_, bytes_.size() - filled_),
            [self = shared_from_this()](const asio::error_code &error, std::size_t count) {
                if (error) {
                    self->close();
                } else {
                    self->received(count);
                }
            }
        );
    }

    void received(std::size_t count) {
        filled_ += count;
        ssize_t done = answer_frames(bytes_.data(), filled_, &greeted_, &needed_);
        if (done < 0) { return close(); }
        if (done == 0) { return read(); }
        deadline_ = clock_type::now() + idle;
        asio::async_write(
            socket_, asio::buffer(bytes_.data(), static_cast<std::size_t>(done)),
            [self = shared_from_this(), done](const asio::error_code &error, std::size_t) {
                if (error) { return self->close(); }
                self->consume(static_cast<std::size_t>(done));
                self->read();
            }
        );
    }

    /// The rest of the frames moves to the front, and the buffer grows with what really comes.
    void consume(std::size_t done) {
        filled_ -= done;
        std::memmove(bytes_.data(), bytes_.data() + done, filled_);
        if (done + filled_ == bytes_.size() && bytes_.size() < (256u << 10)) { bytes_.resize(2 * bytes_.size()); }
    }

    tcp::socket socket_;
    asio::steady_timer timer_;
    clock_type::time_point deadline_;
    std::vector<std::uint8_t> bytes_;
    std::size_t filled_ = 0, needed_ = FRAME_HEADER;
    std::uint8_t greeted_ = 0;
};

static void accept_on(tcp::acceptor &acceptor) {
    acceptor.async_accept([&acceptor](const asio::error_code &error, tcp::socket socket) {
        if (!error) { std::make_shared<session>(std::move(socket))->start(); }
        accept_on(acceptor);
    });
}

int main(int count, char **arguments) {
    auto options = server_options(count, arguments);
    idle = std::chrono::milliseconds(options.idle_ms);
    asio::io_context context(1);
    tcp::acceptor acceptor(context, tcp::v4(), server_listen(options.port, SOCK_NONBLOCK));
    accept_on(acceptor);
    server_ready();
    context.run();
}
