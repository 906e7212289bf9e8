// The code that protoc-gen-js generates for test/codegen/v1/parcel.proto (import_style=commonjs,binary), shortened.
// The file is checked in because npm has no package with this plugin.
const jspb = require('google-protobuf');
const timestamp = require('google-protobuf/google/protobuf/timestamp_pb.js');

const writeMap = jspb.internal.public_for_gencode.serializeMapToBinary;

function read(reader, type) {
  const message = new type();
  reader.readMessage(message, type.deserializeBinaryFromReader);
  return message;
}

class Meta extends jspb.Message {
  constructor(data) {
    super();
    jspb.Message.initialize(this, data, 0, -1, null, null);
  }

  static deserializeBinary(bytes) {
    return Meta.deserializeBinaryFromReader(new Meta(), new jspb.BinaryReader(bytes));
  }

  static deserializeBinaryFromReader(message, reader) {
    while (reader.nextField()) {
      if (reader.isEndGroup()) break;
      switch (reader.getFieldNumber()) {
        case 1:
          message.setRequestId(reader.readStringRequireUtf8());
          break;
        case 2:
          message.setTrace(reader.readStringRequireUtf8());
          break;
        default:
          reader.skipField();
      }
    }
    return message;
  }

  serializeBinary() {
    const writer = new jspb.BinaryWriter();
    Meta.serializeBinaryToWriter(this, writer);
    return writer.getResultBuffer();
  }

  static serializeBinaryToWriter(message, writer) {
    if (message.getRequestId().length > 0) writer.writeString(1, message.getRequestId());
    if (message.getTrace().length > 0) writer.writeString(2, message.getTrace());
  }

  getRequestId() {
    return jspb.Message.getFieldWithDefault(this, 1, '');
  }

  setRequestId(value) {
    return jspb.Message.setProto3StringField(this, 1, value);
  }

  getTrace() {
    return jspb.Message.getFieldWithDefault(this, 2, '');
  }

  setTrace(value) {
    return jspb.Message.setProto3StringField(this, 2, value);
  }
}

class Item extends jspb.Message {
  constructor(data) {
    super();
    jspb.Message.initialize(this, data, 0, -1, null, null);
  }

  static deserializeBinary(bytes) {
    return Item.deserializeBinaryFromReader(new Item(), new jspb.BinaryReader(bytes));
  }

  static deserializeBinaryFromReader(message, reader) {
    while (reader.nextField()) {
      if (reader.isEndGroup()) break;
      switch (reader.getFieldNumber()) {
        case 1:
          message.setSku(reader.readStringRequireUtf8());
          break;
        case 2:
          message.setQuantity(reader.readUint32());
          break;
        case 3:
          message.setSeenAt(reader.readInt64());
          break;
        default:
          reader.skipField();
      }
    }
    return message;
  }

  serializeBinary() {
    const writer = new jspb.BinaryWriter();
    Item.serializeBinaryToWriter(this, writer);
    return writer.getResultBuffer();
  }

  static serializeBinaryToWriter(message, writer) {
    if (message.getSku().length > 0) writer.writeString(1, message.getSku());
    if (message.getQuantity() !== 0) writer.writeUint32(2, message.getQuantity());
    if (message.getSeenAt() !== 0) writer.writeInt64(3, message.getSeenAt());
  }

  getSku() {
    return jspb.Message.getFieldWithDefault(this, 1, '');
  }

  setSku(value) {
    return jspb.Message.setProto3StringField(this, 1, value);
  }

  getQuantity() {
    return jspb.Message.getFieldWithDefault(this, 2, 0);
  }

  setQuantity(value) {
    return jspb.Message.setProto3IntField(this, 2, value);
  }

  getSeenAt() {
    return jspb.Message.getFieldWithDefault(this, 3, 0);
  }

  setSeenAt(value) {
    return jspb.Message.setProto3IntField(this, 3, value);
  }
}

class SendRequest extends jspb.Message {
  constructor(data) {
    super();
    jspb.Message.initialize(this, data, 0, -1, [8, 9], [[12, 13, 14]]);
  }

  static deserializeBinary(bytes) {
    return SendRequest.deserializeBinaryFromReader(new SendRequest(), new jspb.BinaryReader(bytes));
  }

  static deserializeBinaryFromReader(message, reader) {
    while (reader.nextField()) {
      if (reader.isEndGroup()) break;
      switch (reader.getFieldNumber()) {
        case 1:
          message.setMeta(read(reader, Meta));
          break;
        case 2:
          message.setReceiver(reader.readStringRequireUtf8());
          break;
        case 3:
          message.setWeightGrams(reader.readInt64());
          break;
        case 4:
          message.setRate(reader.readDouble());
          break;
        case 5:
          message.setFragile(reader.readBool());
          break;
        case 6:
          message.setSpeed(reader.readEnum());
          break;
        case 7:
          message.setLabel(reader.readBytes());
          break;
        case 8:
          message.addItems(read(reader, Item));
          break;
        case 9:
          reader.readPackableSint32Into(message.getMarksList());
          break;
        case 10:
          reader.readMessage(message.getNotesMap(), (map, inner) => {
            jspb.Map.deserializeBinary(
              map,
              inner,
              jspb.BinaryReader.prototype.readStringRequireUtf8,
              jspb.BinaryReader.prototype.readStringRequireUtf8,
              null,
              '',
              '',
            );
          });
          break;
        case 11:
          reader.readMessage(message.getBoxesMap(), (map, inner) => {
            jspb.Map.deserializeBinary(
              map,
              inner,
              jspb.BinaryReader.prototype.readInt32,
              jspb.BinaryReader.prototype.readMessage,
              Item.deserializeBinaryFromReader,
              0,
              new Item(),
            );
          });
          break;
        case 12:
          message.setCard(reader.readStringRequireUtf8());
          break;
        case 13:
          message.setGoods(read(reader, Item));
          break;
        case 14:
          message.setVoucher(reader.readStringRequireUtf8());
          break;
        case 15:
          message.setComment(reader.readStringRequireUtf8());
          break;
        case 16:
          message.setClientTime(read(reader, timestamp.Timestamp));
          break;
        default:
          reader.skipField();
      }
    }
    return message;
  }

  serializeBinary() {
    const writer = new jspb.BinaryWriter();
    SendRequest.serializeBinaryToWriter(this, writer);
    return writer.getResultBuffer();
  }

  static serializeBinaryToWriter(message, writer) {
    if (message.hasMeta()) writer.writeMessage(1, message.getMeta(), Meta.serializeBinaryToWriter);
    if (message.getReceiver().length > 0) writer.writeString(2, message.getReceiver());
    if (message.getWeightGrams() !== 0) writer.writeInt64(3, message.getWeightGrams());
    if (message.getRate() !== 0) writer.writeDouble(4, message.getRate());
    if (message.getFragile()) writer.writeBool(5, message.getFragile());
    if (message.getSpeed() !== 0) writer.writeEnum(6, message.getSpeed());
    if (message.getLabel().length > 0) writer.writeBytes(7, message.getLabel());
    writer.writeRepeatedMessage(8, message.getItemsList(), Item.serializeBinaryToWriter);
    if (message.getMarksList().length > 0) writer.writePackedSint32(9, message.getMarksList());
    writeMap(
      message.getNotesMap(true),
      10,
      writer,
      jspb.BinaryWriter.prototype.writeString,
      jspb.BinaryWriter.prototype.writeString,
    );
    writeMap(
      message.getBoxesMap(true),
      11,
      writer,
      jspb.BinaryWriter.prototype.writeInt32,
      jspb.BinaryWriter.prototype.writeMessage,
      Item.serializeBinaryToWriter,
    );
    if (message.hasCard()) writer.writeString(12, message.getCard());
    if (message.hasGoods()) writer.writeMessage(13, message.getGoods(), Item.serializeBinaryToWriter);
    if (message.hasVoucher()) writer.writeString(14, message.getVoucher());
    if (message.hasComment()) writer.writeString(15, message.getComment());
    if (message.hasClientTime())
      writer.writeMessage(16, message.getClientTime(), timestamp.Timestamp.serializeBinaryToWriter);
  }

  getMeta() {
    return jspb.Message.getWrapperField(this, Meta, 1);
  }

  setMeta(value) {
    return jspb.Message.setWrapperField(this, 1, value);
  }

  clearMeta() {
    return this.setMeta(undefined);
  }

  hasMeta() {
    return jspb.Message.getField(this, 1) != null;
  }

  getReceiver() {
    return jspb.Message.getFieldWithDefault(this, 2, '');
  }

  setReceiver(value) {
    return jspb.Message.setProto3StringField(this, 2, value);
  }

  getWeightGrams() {
    return jspb.Message.getFieldWithDefault(this, 3, 0);
  }

  setWeightGrams(value) {
    return jspb.Message.setProto3IntField(this, 3, value);
  }

  getRate() {
    return jspb.Message.getFloatingPointFieldWithDefault(this, 4, 0.0);
  }

  setRate(value) {
    return jspb.Message.setProto3FloatField(this, 4, value);
  }

  getFragile() {
    return jspb.Message.getBooleanFieldWithDefault(this, 5, false);
  }

  setFragile(value) {
    return jspb.Message.setProto3BooleanField(this, 5, value);
  }

  getSpeed() {
    return jspb.Message.getFieldWithDefault(this, 6, 0);
  }

  setSpeed(value) {
    return jspb.Message.setProto3EnumField(this, 6, value);
  }

  getLabel() {
    return jspb.Message.getFieldWithDefault(this, 7, '');
  }

  setLabel(value) {
    return jspb.Message.setProto3BytesField(this, 7, value);
  }

  getItemsList() {
    return jspb.Message.getRepeatedWrapperField(this, Item, 8);
  }

  setItemsList(value) {
    return jspb.Message.setRepeatedWrapperField(this, 8, value);
  }

  addItems(value, index) {
    return jspb.Message.addToRepeatedWrapperField(this, 8, value, Item, index);
  }

  clearItemsList() {
    return this.setItemsList([]);
  }

  getMarksList() {
    return jspb.Message.getRepeatedField(this, 9);
  }

  setMarksList(value) {
    return jspb.Message.setField(this, 9, value || []);
  }

  addMarks(value, index) {
    return jspb.Message.addToRepeatedField(this, 9, value, index);
  }

  clearMarksList() {
    return this.setMarksList([]);
  }

  getNotesMap(noLazyCreate) {
    return jspb.Message.getMapField(this, 10, noLazyCreate, null);
  }

  clearNotesMap() {
    this.getNotesMap().clear();
    return this;
  }

  getBoxesMap(noLazyCreate) {
    return jspb.Message.getMapField(this, 11, noLazyCreate, Item);
  }

  clearBoxesMap() {
    this.getBoxesMap().clear();
    return this;
  }

  getCard() {
    return jspb.Message.getFieldWithDefault(this, 12, '');
  }

  setCard(value) {
    return jspb.Message.setOneofField(this, 12, [[12, 13, 14]][0], value);
  }

  clearCard() {
    return jspb.Message.setOneofField(this, 12, [[12, 13, 14]][0], undefined);
  }

  hasCard() {
    return jspb.Message.getField(this, 12) != null;
  }

  getGoods() {
    return jspb.Message.getWrapperField(this, Item, 13);
  }

  setGoods(value) {
    return jspb.Message.setOneofWrapperField(this, 13, [[12, 13, 14]][0], value);
  }

  clearGoods() {
    return this.setGoods(undefined);
  }

  hasGoods() {
    return jspb.Message.getField(this, 13) != null;
  }

  getVoucher() {
    return jspb.Message.getFieldWithDefault(this, 14, '');
  }

  setVoucher(value) {
    return jspb.Message.setOneofField(this, 14, [[12, 13, 14]][0], value);
  }

  clearVoucher() {
    return jspb.Message.setOneofField(this, 14, [[12, 13, 14]][0], undefined);
  }

  hasVoucher() {
    return jspb.Message.getField(this, 14) != null;
  }

  getComment() {
    return jspb.Message.getFieldWithDefault(this, 15, '');
  }

  setComment(value) {
    return jspb.Message.setField(this, 15, value);
  }

  clearComment() {
    return jspb.Message.setField(this, 15, undefined);
  }

  hasComment() {
    return jspb.Message.getField(this, 15) != null;
  }

  getClientTime() {
    return jspb.Message.getWrapperField(this, timestamp.Timestamp, 16);
  }

  setClientTime(value) {
    return jspb.Message.setWrapperField(this, 16, value);
  }

  clearClientTime() {
    return this.setClientTime(undefined);
  }

  hasClientTime() {
    return jspb.Message.getField(this, 16) != null;
  }
}

class SendResponse extends jspb.Message {
  constructor(data) {
    super();
    jspb.Message.initialize(this, data, 0, -1, null, null);
  }

  static deserializeBinary(bytes) {
    return SendResponse.deserializeBinaryFromReader(new SendResponse(), new jspb.BinaryReader(bytes));
  }

  static deserializeBinaryFromReader(message, reader) {
    while (reader.nextField()) {
      if (reader.isEndGroup()) break;
      switch (reader.getFieldNumber()) {
        case 1:
          message.setParcelId(reader.readStringRequireUtf8());
          break;
        default:
          reader.skipField();
      }
    }
    return message;
  }

  serializeBinary() {
    const writer = new jspb.BinaryWriter();
    SendResponse.serializeBinaryToWriter(this, writer);
    return writer.getResultBuffer();
  }

  static serializeBinaryToWriter(message, writer) {
    if (message.getParcelId().length > 0) writer.writeString(1, message.getParcelId());
  }

  getParcelId() {
    return jspb.Message.getFieldWithDefault(this, 1, '');
  }

  setParcelId(value) {
    return jspb.Message.setProto3StringField(this, 1, value);
  }
}

module.exports = { Meta, Item, SendRequest, SendResponse };
