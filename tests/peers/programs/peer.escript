#!/usr/bin/env escript
%% Erlang's ssl as a peer for one connection. See tests/peers/scripts.py for the arguments and what is printed.
%% It reports errors as terms, which say the alert.
-mode(compile).

main([Role, Port, Version, Trust, Certificate, Key, Ask]) ->
    {ok, _} = application:ensure_all_started(ssl),
    Options = [{mode, binary}, {active, true}, {log_level, none}]
        ++ [{versions, [list_to_atom("tlsv" ++ Version)]} || Version =/= ""]
        ++ [{cacertfile, Trust} || Trust =/= ""]
        ++ [Option || Certificate =/= "", Option <- [{certfile, Certificate}, {keyfile, Key}]],
    case run(Role, list_to_integer("0" ++ Port), Options, Ask) of
        {ok, Tls} -> ssl:close(Tls);
        {error, Reason} ->
            io:format(standard_error, "~p~n", [Reason]),
            halt(1)
    end.

run("connect", Port, Options, _) ->
    Checked = [{verify, verify_peer}, {server_name_indication, "localhost"} | Options],
    case ssl:connect({127, 0, 0, 1}, Port, Checked, 20000) of
        {ok, Tls} ->
            ssl:send(Tls, os:getenv("REQUEST")),
            answered(Tls, read(Tls, fun is_whole/1, <<>>));
        Error -> Error
    end;
run("serve", _, Options, Ask) ->
    Verify = case Ask of
        "none" -> [{verify, verify_none}];
        "request" -> [{verify, verify_peer}, {fail_if_no_peer_cert, false}];
        "require" -> [{verify, verify_peer}, {fail_if_no_peer_cert, true}]
    end,
    {ok, Listener} = ssl:listen(0, Verify ++ [{ip, {127, 0, 0, 1}} | Options]),
    {ok, {_, Port}} = ssl:sockname(Listener),
    io:format("listening|~b~n", [Port]),
    {ok, Accepted} = ssl:transport_accept(Listener, 20000),
    case ssl:handshake(Accepted, 20000) of
        {ok, Tls} ->
            case answered(Tls, read(Tls, fun has_head/1, <<>>)) of
                {ok, _} ->
                    io:format("~npeer|~s~n", [subject(ssl:peercert(Tls))]),
                    % A client that closes as soon as it has the answer may be gone before this returns.
                    ssl:send(Tls, os:getenv("RESPONSE")),
                    {ok, Tls};
                Error -> Error
            end;
        Error -> Error
    end.

%% The record's seventh element, as a term.
subject({ok, Certificate}) ->
    {'OTPCertificate', Signed, _, _} = public_key:pkix_decode_cert(Certificate, otp),
    io_lib:format("~0p", [element(7, Signed)]);
subject(_) -> "".

answered(Tls, {ok, Data}) ->
    {ok, [{protocol, Protocol}, {selected_cipher_suite, Suite}]} =
        ssl:connection_information(Tls, [protocol, selected_cipher_suite]),
    io:format("~s~nover|~p|~s~n", [Data, Protocol, ssl:suite_to_str(Suite)]),
    {ok, Tls};
answered(_, Error) -> Error.

read(Tls, Done, Data) ->
    case Done(Data) of
        true -> {ok, Data};
        false ->
            receive
                {ssl, Tls, More} -> read(Tls, Done, <<Data/binary, More/binary>>);
                {ssl_error, Tls, Reason} -> {error, Reason};
                {ssl_closed, Tls} -> {error, closed}
            after 20000 -> {error, timeout}
            end
    end.

has_head(Data) -> binary:match(Data, <<"\r\n\r\n">>) =/= nomatch.

is_whole(Data) ->
    case binary:split(Data, <<"\r\n\r\n">>) of
        [Head, Body] ->
            {match, [Length]} = re:run(Head, "Content-Length: (\\d+)", [caseless, {capture, all_but_first, list}]),
            byte_size(Body) >= list_to_integer(Length);
        _ -> false
    end.
